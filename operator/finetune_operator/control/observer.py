"""Reads the world into `Observed`; writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.objects import JobKey, Object
from finetune_api.progress import Progress
from finetune_api.runtime import ClusterFineTuneRuntime, FineTuneRuntime
from finetune_operator.cluster.interface import NotFoundError, Reference
from finetune_operator.control.children import CHILD_KINDS, has_owner, is_owned, running
from finetune_operator.control.interface import ProgressSource, Reader, ReportSource
from finetune_operator.progress.heartbeats import HeartbeatAges
from finetune_operator.reconcile.lineage import MOST_ANCESTORS, has_begun
from finetune_operator.reconcile.measures import current_progress
from finetune_operator.reconcile.publishing import has_published, offers_report
from finetune_operator.reconcile.settings import Settings
from finetune_operator.reconcile.types import Observed
from finetune_operator.reconcile.unreadable import unreadable_fields


@dataclass(frozen=True, slots=True)
class UnreadableJob:
    """A job that is stored and does not fit its schema."""

    value: Object
    error: ValidationError


class Observer:
    """Observes one job at a time.

    Args:
        progress: gives the progress of running gangs.
        reports: gives full reports that are to be published.
        settings: numbers of `reconcile`.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        progress: ProgressSource,
        reports: ReportSource,
        settings: Settings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._reports = reports
        self._settings = settings
        self._heartbeats = HeartbeatAges(settings.stall_confirm_seconds, monotonic)

    def forget(self, key: JobKey) -> None:
        """The job is gone."""
        self._heartbeats.forget(key)

    async def observe(self, reader: Reader, key: JobKey, apply_error: str) -> Observed | UnreadableJob | None:
        """The job first, then its children, then their pods: what is read later is newer, never older.

        Args:
            reader: what is read from.
            key: of the job.
            apply_error: why the last decision could not be carried out; empty if it was.

        Returns:
            None if there is no such job.
        """
        namespace, name = key
        try:
            value = await reader.get(Reference("FineTuneJob", namespace, name))
            job = FineTuneJob.from_json_object(value)
        except NotFoundError:
            return None
        except ValidationError as error:
            return UnreadableJob(value, error)
        selector = {labels.JOB: name}
        children: list[Object] = []
        for kind in CHILD_KINDS:
            children.extend(c for c in await reader.list(kind, namespace, selector) if is_owned(c, job))
        pods = await reader.list("Pod", namespace, selector)
        alive = running(pods)
        progress = await self._progress.read(alive) if alive else None
        runtime, runtime_error = await self._find_runtime(reader, job)
        return Observed(
            job=job,
            runtime=runtime,
            runtime_error=runtime_error,
            children=tuple(children),
            pods=tuple(pods),
            progress=progress,
            heartbeat_age_seconds=self._heartbeat_age(key, job, progress),
            ancestors=await self._ancestors(reader, job),
            claim=await self._claim_of_parent(reader, job),
            report=await self._read_report(job, progress, children, alive),
            apply_error=apply_error,
        )

    async def _ancestors(self, reader: Reader, job: FineTuneJob) -> tuple[FineTuneJob, ...]:
        """The parents of a job that has not begun; one that is being deleted or cannot be read ends the line."""
        found: list[FineTuneJob] = []
        if not self._settings.looks_at_parents or has_begun(job):
            return ()
        seen, name = {job.metadata.name}, job.parent
        while name is not None and len(found) < MOST_ANCESTORS:
            reference = Reference("FineTuneJob", job.metadata.namespace or "default", name)
            try:
                ancestor = FineTuneJob.from_json_object(await reader.get(reference))
            except (NotFoundError, ValidationError):
                break
            if ancestor.metadata.deletion_timestamp is not None:
                break
            found.append(ancestor)
            if name in seen:
                break
            seen.add(name)
            name = ancestor.parent
        return tuple(found)

    async def _claim_of_parent(self, reader: Reader, job: FineTuneJob) -> Object | None:
        """A claim that goes with the jobs that own it."""
        workspace = job.spec.workspace
        has_ended = job.status is not None and job.status.completion_time is not None
        if job.parent is None or has_ended or workspace is None or workspace.claim_name is None:
            return None
        namespace = job.metadata.namespace or "default"
        try:
            claim = await reader.get(Reference("PersistentVolumeClaim", namespace, workspace.claim_name))
        except NotFoundError:
            return None
        return claim if has_owner(claim) else None

    def _heartbeat_age(self, key: JobKey, job: FineTuneJob, progress: Progress | None) -> float:
        stage = next((s for s in job.status.stages if s.name == job.status.current_stage), None) if job.status else None
        if stage is None:
            return 0.0
        current = current_progress(progress, stage)
        gang = (job.metadata.uid or "", stage.name, stage.attempt)
        return self._heartbeats.look(key, gang, current.progress.heartbeat if current is not None else None)

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
        self, job: FineTuneJob, progress: Progress | None, children: Sequence[Object], alive: Sequence[Object]
    ) -> str | None:
        """The report if it is offered and not published yet."""
        if not offers_report(job, progress) or has_published(job, progress, children):
            return None
        return await self._reports.read(alive)
