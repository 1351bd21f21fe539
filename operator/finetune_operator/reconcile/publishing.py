"""The full report as a ConfigMap, for `evaluate.publish: ConfigMap`."""

from __future__ import annotations

from collections.abc import Iterable

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.status import StageStatus
from finetune_operator.reconcile import names
from finetune_operator.reconcile.children import child_metadata
from finetune_operator.reconcile.measures import current_progress
from finetune_operator.reconcile.visit import Visit

REPORT_KEY = "report.json"
LOOK_AGAIN_SECONDS = 1.0
"""The pods wait for it."""


def offers_report(job: FineTuneJob, progress: Progress | None) -> bool:
    """Whether evaluate waits for its report to be published."""
    wanted = job.spec.evaluate is not None and job.spec.evaluate.publish == "ConfigMap"
    return wanted and progress is not None and progress.phase == "Publishing"


def publish_report(visit: Visit, stage: StageStatus) -> None:
    """Write the report that was read, unless that of this attempt is there."""
    progress = visit.observed.progress
    if not offers_report(visit.job, progress) or current_progress(progress, stage) is None:
        return
    visit.look_again(LOOK_AGAIN_SECONDS)
    known = visit.child("ConfigMap", names.report_name(visit.job))
    if visit.observed.report is not None and not is_published(known, stage.attempt):
        visit.apply.append(report_config_map(visit.job, stage.attempt, visit.observed.report))


def report_config_map(job: FineTuneJob, attempt: int, report: str) -> Object:
    """The full report of an attempt of evaluate, where people can read it without the workspace."""
    metadata = child_metadata(job, names.report_name(job), names.child_labels(job))
    metadata["annotations"] = {labels.ATTEMPT: str(attempt)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {REPORT_KEY: report}}


def has_published(job: FineTuneJob, progress: Progress | None, children: Iterable[Object]) -> bool:
    """Whether the report that evaluate offers is in its ConfigMap, so that its pods need not wait any longer."""
    if progress is None or not offers_report(job, progress):
        return False
    name = names.report_name(job)
    known = next((c for c in children if c["kind"] == "ConfigMap" and c["metadata"]["name"] == name), None)
    return is_published(known, progress.attempt)


def is_published(config_map: Object | None, attempt: int) -> bool:
    """Whether it holds the report of this attempt."""
    annotations = ((config_map or {}).get("metadata") or {}).get("annotations") or {}
    return bool(annotations.get(labels.ATTEMPT) == str(attempt))
