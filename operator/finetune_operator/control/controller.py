"""Around `reconcile`: observe, decide, carry out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from pydantic import ValidationError

from finetune_api import labels
from finetune_api.base import API_VERSION
from finetune_api.job import FineTuneJob
from finetune_api.objects import JobKey, Object
from finetune_api.progress import Progress
from finetune_api.runtime import ClusterFineTuneRuntime, FineTuneRuntime
from finetune_api.status import FineTuneJobStatus
from finetune_operator.cluster.interface import (
    Cluster,
    ClusterError,
    ConflictError,
    Kind,
    NotFoundError,
    Reference,
)
from finetune_operator.control.recorder import EveryEvent, Recorder
from finetune_operator.progress import HttpReportSource
from finetune_operator.progress.heartbeats import HeartbeatAges
from finetune_operator.reconcile import measures
from finetune_operator.reconcile.core import reconcile
from finetune_operator.reconcile.names import report_name
from finetune_operator.reconcile.publishing import is_published, offers_report
from finetune_operator.reconcile.settings import DEFAULT_SETTINGS, Settings
from finetune_operator.reconcile.types import Decision, Observed
from finetune_operator.reconcile.unreadable import unreadable_fields, unreadable_status

CHILD_KINDS: tuple[Kind, ...] = ("Job", "ConfigMap", "Service", "PersistentVolumeClaim", "NetworkPolicy")
_log = logging.getLogger(__name__)


class ProgressSource(Protocol):
    """Where the running stage is."""

    async def read(self, pods: Sequence[Object]) -> Progress | None:
        """The answer of /progress of the gang that these pods are; None if it cannot be had now."""
        ...


class ReportSource(Protocol):
    """The full report, while rank 0 of evaluate offers it."""

    async def read(self, pods: Sequence[Object]) -> str | None:
        """The report as JSON; None if it cannot be had now."""
        ...

    async def confirm(self, pods: Sequence[Object]) -> None:
        """It is published: nobody need wait."""
        ...


class Reader(Protocol):
    """Reads that may be a little old, such as a cache's."""

    async def get(self, reference: Reference) -> Object:
        """As in `Cluster`."""
        ...

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        """As in `Cluster`."""
        ...


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Controller:
    """Brings jobs to what their specs say.

    Args:
        cluster: where objects live; its reads are up to date.
        progress: asked for the progress of running gangs.
        clock: the time, with a time zone.
        settings: numbers of `reconcile`.
        reader: a cache to observe with. It never goes back in time, and holds our own writes; what an old view could
            still make us do wrong is decided again on the cluster's own reads.
        recorder: publishes events; without one each event is an object.
        reports: where full reports come from that are to be published.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        cluster: Cluster,
        progress: ProgressSource,
        clock: Callable[[], datetime] = utc_now,
        settings: Settings = DEFAULT_SETTINGS,
        reader: Reader | None = None,
        recorder: Recorder | None = None,
        reports: ReportSource | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._progress = progress
        self._clock = clock
        self._settings = settings
        self._reader = reader
        self._recorder = recorder or EveryEvent(cluster)
        self._reports: ReportSource = reports or HttpReportSource()
        self._apply_errors: dict[JobKey, str] = {}
        self._heartbeats = HeartbeatAges(settings.stall_confirm_seconds, monotonic)

    async def sync(self, namespace: str, name: str) -> float | None:
        """One visit; returns after how many seconds to come again, or None if only a change can matter.

        Raises:
            ConflictError: something changed meanwhile: come again at once.
            ClusterError: a request failed: come again later.
        """
        key = (namespace, name)
        observed = await self._observe(self._reader or self._cluster, key)
        if observed is None:
            self._apply_errors.pop(key, None)
            self._heartbeats.forget(key)
            return None
        now = self._clock()
        decision = reconcile(observed, now, self._settings)
        if self._reader is not None and must_be_sure(observed, decision):
            observed = await self._observe(self._cluster, key)
            if observed is None:
                return None
            decision = reconcile(observed, now, self._settings)
        await self._carry_out(key, observed, decision, now)
        return decision.requeue_after_seconds

    async def _observe(self, reader: Reader, key: JobKey) -> Observed | None:
        """The job first, then its children, then their pods: what is read later is newer, never older."""
        namespace, name = key
        try:
            value = await reader.get(Reference("FineTuneJob", namespace, name))
        except NotFoundError:
            return None
        try:
            job = FineTuneJob.from_json_object(value)
        except ValidationError as error:
            await self._tell_unreadable(value, error)
            return None
        selector = {labels.JOB: name}
        children: list[Object] = []
        for kind in CHILD_KINDS:
            children.extend(c for c in await reader.list(kind, namespace, selector) if _is_owned(c, job))
        pods = await reader.list("Pod", namespace, selector)
        running = [p for p in pods if p.get("status", {}).get("phase") == "Running"]
        progress = await self._progress.read(running) if running else None
        runtime, runtime_error = await self._find_runtime(reader, job)
        return Observed(
            job=job,
            runtime=runtime,
            runtime_error=runtime_error,
            children=tuple(children),
            pods=tuple(pods),
            progress=progress,
            heartbeat_age_seconds=self._heartbeat_age(key, job, progress),
            report=await self._read_report(job, progress, children, running),
            apply_error=self._apply_errors.get(key, ""),
        )

    def _heartbeat_age(self, key: JobKey, job: FineTuneJob, progress: Progress | None) -> float:
        stage = next((s for s in job.status.stages if s.name == job.status.current_stage), None) if job.status else None
        if stage is None:
            return 0.0
        current = measures.current_progress(progress, stage)
        gang = (job.metadata.uid or "", stage.name, stage.attempt)
        return self._heartbeats.look(key, gang, current.progress.heartbeat if current is not None else None)

    async def _tell_unreadable(self, value: Object, error: ValidationError) -> None:
        metadata = value["metadata"]
        status = unreadable_status(value, error, self._clock())
        if status is not None:
            _log.error("%s/%s: %s", metadata["namespace"], metadata["name"], status["conditions"][0]["message"])
            await self._write_status((metadata["namespace"], metadata["name"]), metadata["resourceVersion"], status)

    async def _find_runtime(
        self, reader: Reader, job: FineTuneJob
    ) -> tuple[FineTuneRuntime | ClusterFineTuneRuntime | None, str]:
        """The runtime that the job names, and what is wrong with it."""
        reference = job.spec.runtime_ref
        if reference.kind == "ClusterFineTuneRuntime" and not self._settings.serves_cluster_runtimes:
            return None, ""
        is_namespaced = reference.kind == "FineTuneRuntime"
        namespace = (job.metadata.namespace or "default") if is_namespaced else ""
        try:
            value = await reader.get(Reference(reference.kind, namespace, reference.name))
        except NotFoundError:
            return None, ""
        model = FineTuneRuntime if is_namespaced else ClusterFineTuneRuntime
        try:
            return model.from_json_object(value), ""
        except ValidationError as error:
            return None, unreadable_fields(error)

    async def _read_report(
        self, job: FineTuneJob, progress: Progress | None, children: Sequence[Object], running: Sequence[Object]
    ) -> str | None:
        """The report if it is offered and not published yet; if it is, the pods may go."""
        if progress is None or not offers_report(job, progress):
            return None
        name = report_name(job)
        known = next((c for c in children if c["kind"] == "ConfigMap" and c["metadata"]["name"] == name), None)
        if is_published(known, progress.attempt):
            await self._reports.confirm(running)
            return None
        return await self._reports.read(running)

    async def _carry_out(self, key: JobKey, observed: Observed, decision: Decision, now: datetime) -> None:
        namespace, job = key[0], observed.job
        if decision.status is not None:
            await self._write_status(key, job.metadata.resource_version, decision.status.to_json_object())
        elif decision.status_waits and decision.apply:
            await self._confirm(key, job)
        for child in decision.delete:
            await self._cluster.delete(Reference(child.kind, namespace, child.name))
        known = {_name_of(child) for child in observed.children}
        for value in decision.apply:
            await self._write_child(key, job, value, exists=_name_of(value) in known)
        self._apply_errors.pop(key, None)
        await self._recorder.record(job, decision.events, now)

    async def _write_status(self, key: JobKey, version: str | None, status: Object) -> None:
        """Refused by the cluster unless the job is still of this resourceVersion."""
        metadata = {"name": key[1], "namespace": key[0], "resourceVersion": version}
        await self._cluster.apply_status(
            {"apiVersion": API_VERSION, "kind": "FineTuneJob", "metadata": metadata, "status": status}
        )

    async def _confirm(self, key: JobKey, job: FineTuneJob) -> None:
        """Children are made of this very version of the job: what the write of a status would make sure of."""
        try:
            now = await self._cluster.get(Reference("FineTuneJob", *key))
        except NotFoundError:
            raise ConflictError("the job was deleted meanwhile") from None
        if now["metadata"].get("resourceVersion") != job.metadata.resource_version:
            raise ConflictError("the job changed meanwhile")

    async def _write_child(self, key: JobKey, job: FineTuneJob, value: Object, *, exists: bool) -> None:
        try:
            if exists:
                await self._cluster.apply(value)
            else:
                await self._create_child(job, value)
        except ConflictError:
            raise
        except ClusterError as error:
            # The next visit says so in the status; whoever can help reads it there.
            self._apply_errors[key] = f"cannot create {value['kind']} {value['metadata']['name']}: {error}"
            raise

    async def _create_child(self, job: FineTuneJob, value: Object) -> None:
        """An apply would take over what somebody else made under the name of a child; a create does not."""
        try:
            await self._cluster.create(value)
        except ConflictError:
            reference = Reference(value["kind"], value["metadata"]["namespace"], value["metadata"]["name"])
            try:
                found = await self._cluster.get(reference)
            except NotFoundError:
                raise ConflictError(f"{reference.kind} {reference.name} came and went") from None
            if not _is_owned(found, job):
                raise ClusterError(
                    "one that does not belong to this job has its name. Delete or rename that one, and the job goes on"
                ) from None
            await self._cluster.apply(value)  # made by a visit that did not hear the answer


def must_be_sure(observed: Observed, decision: Decision) -> bool:
    """Whether a lagging view of Jobs and pods could make this decision do harm.

    A status is refused if the job changed meanwhile, and then nothing else of the decision is done; where the first
    one waits, the job is read again. What comes without either rests on the view of Jobs and pods alone, and so does a
    status that gives up an attempt because its Job or pods are not seen. A later attempt must not start beside pods of
    an earlier one that were not seen yet. And what exists is repaired from all of it, of which a cache may keep a part.
    """
    if decision.delete or (decision.apply and decision.status is None and not decision.status_waits):
        return True
    if decision.status is not None and _gives_up_an_attempt(observed.job.status, decision.status):
        return True
    known = {_name_of(child) for child in observed.children}
    if any(_name_of(value) in known for value in decision.apply):
        return True
    return any(value["metadata"]["labels"].get(labels.ATTEMPT, "1") != "1" for value in decision.apply)


def _gives_up_an_attempt(old: FineTuneJobStatus | None, new: FineTuneJobStatus) -> bool:
    before = {stage.name: (stage.attempt, stage.state) for stage in old.stages} if old is not None else {}
    for stage in new.stages:
        attempt, state = before.get(stage.name, (0, "Pending"))
        if stage.attempt > max(attempt, 1) or (stage.state == "Failed" and state != "Failed"):
            return True
    return False


def _name_of(value: Object) -> tuple[str, str]:
    return value["kind"], value["metadata"]["name"]


def _is_owned(child: Object, job: FineTuneJob) -> bool:
    owners = child["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == job.metadata.uid for owner in owners)
