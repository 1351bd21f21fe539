"""Carries decisions out; decides nothing."""

from __future__ import annotations

import logging
from datetime import datetime

from pydantic import ValidationError

from finetune_api.base import API_VERSION
from finetune_api.job import FineTuneJob
from finetune_api.objects import JobKey, Object
from finetune_operator.cluster.interface import Cluster, ClusterError, ConflictError, NotFoundError, Reference
from finetune_operator.control.children import is_owned, name_of, running
from finetune_operator.control.interface import ReportSource
from finetune_operator.control.recorder import Recorder
from finetune_operator.reconcile.publishing import has_published
from finetune_operator.reconcile.types import Decision, Observed
from finetune_operator.reconcile.unreadable import unreadable_status

_log = logging.getLogger(__name__)


class Writer:
    """Writes the decision about one job at a time.

    Args:
        cluster: where objects live; its reads are up to date.
        recorder: publishes events.
        reports: gets the confirmation of reports that are published.
    """

    def __init__(self, cluster: Cluster, recorder: Recorder, reports: ReportSource) -> None:
        self._cluster = cluster
        self._recorder = recorder
        self._reports = reports
        self._apply_errors: dict[JobKey, str] = {}

    def forget(self, key: JobKey) -> None:
        """The job is gone."""
        self._apply_errors.pop(key, None)

    def apply_error(self, key: JobKey) -> str:
        """Why the last decision about a job could not be carried out; empty if it was."""
        return self._apply_errors.get(key, "")

    async def carry_out(self, key: JobKey, observed: Observed, decision: Decision, now: datetime) -> None:
        """Write what was decided, in the order that `Decision` gives.

        Raises:
            ConflictError: something changed meanwhile; what comes after it is not written.
            ClusterError: a request failed; likewise.
        """
        job = observed.job
        if has_published(job, observed.progress, observed.children):
            await self._reports.confirm(running(observed.pods))
        if decision.status is not None:
            await self._write_status(key, job.metadata.resource_version, decision.status.to_json_object())
        elif decision.status_waits and decision.apply:
            await self._check_unchanged(key, job)
        for child in decision.delete:
            await self._cluster.delete(Reference(child.kind, key[0], child.name))
        known = {name_of(child) for child in (*observed.children, *filter(None, (observed.claim,)))}
        for value in decision.apply:
            await self._write_child(key, job, value, exists=name_of(value) in known)
        self._apply_errors.pop(key, None)
        await self._recorder.record(job, decision.events, now)

    async def report_unreadable(self, key: JobKey, job: Object, error: ValidationError, now: datetime) -> None:
        """Write into the status of a job why nothing is done for it, unless it is there already."""
        status = unreadable_status(job, error, now)
        if status is not None:
            _log.error("%s/%s: %s", *key, status["conditions"][0]["message"])
            await self._write_status(key, job["metadata"]["resourceVersion"], status)

    async def _write_status(self, key: JobKey, version: str | None, status: Object) -> None:
        """Refused by the cluster unless the job is still of this resourceVersion."""
        metadata = {"name": key[1], "namespace": key[0], "resourceVersion": version}
        await self._cluster.apply_status(
            {"apiVersion": API_VERSION, "kind": "FineTuneJob", "metadata": metadata, "status": status}
        )

    async def _check_unchanged(self, key: JobKey, job: FineTuneJob) -> None:
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
            # The next visit writes it into the status; whoever can help reads it there.
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
            if not is_owned(found, job):
                raise ClusterError(
                    "one that does not belong to this job has its name. Delete or rename that one, and the job goes on"
                ) from None
            await self._cluster.apply(value)  # made by a visit that did not hear the answer
