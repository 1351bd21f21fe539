"""Work that need not be done: a stage's artifact is there already, from an earlier run or from the job's parent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from finetune_api.layout import VARIANTS_FOLDER
from finetune_api.plan import ArtifactManifest, Plan
from finetune_api.stage_result import ReusedStage, StageResult
from finetune_api.stages import Stage
from finetune_trainer.pod.results import report_file, write_report
from finetune_trainer.stages import StageTable, artifact_in, artifact_path, input_digests
from finetune_trainer.workspace.artifacts import find_artifact, read_manifest

MOST_NAMES = 3
"""Of changed inputs, in a reason."""


def finished_result(plan: Plan, workspace: Path, table: StageTable) -> StageResult | None:
    """The result of an earlier run of the same plan on the same inputs whose artifact is still there."""
    return _adopted(plan, workspace, artifact_path(plan, table), table, "unchanged")


def reused_result(plan: Plan, workspace: Path, table: StageTable) -> StageResult | str | None:
    """The result of the parent whose artifact fits; why there is none; None without a parent.

    Whole means: the manifest's fingerprint is the plan's, its inputs have the digests of what the plan reads now, and
    its files look unchanged.
    """
    if plan.parent is None or table[plan.stage].produces not in ("data", "model"):
        return None
    reason = None
    for artifact in _artifacts_of_parent(plan, workspace, table):
        result = _adopted(plan, workspace, artifact, table, f"reused from {plan.parent}")
        if result is not None:
            update = {"artifact": artifact, "reused_from": plan.parent, "productive_seconds": 0.0}
            return result.model_copy(update=update)
        manifest = read_manifest(workspace / artifact)
        if manifest is not None:
            reason = reason or _why_not(plan, workspace, artifact, manifest, table)
    return reason or f"{plan.parent} left no {plan.stage} in this workspace"


def look_ahead(plan: Plan, workspace: Path, table: StageTable, result: StageResult) -> StageResult:
    """The result of a first stage that was reused, with the later stages that can be reused as well.

    They then need no pods; the first that cannot is there with its reason.
    """
    also: list[ReusedStage] = []
    anew: dict[Stage, str] = {}
    inputs = dict(plan.inputs)
    last, artifact = plan.stage, result.artifact
    for stage, fingerprint in (plan.later or {}).items():
        inputs |= {last: artifact} if artifact is not None else {}
        later = plan.model_copy(update={"stage": stage, "fingerprint": fingerprint, "inputs": dict(inputs)})
        if table[stage].implementation is None or finished_result(later, workspace, table) is not None:
            break  # its own pod adopts what is the job's own
        found = reused_result(later, workspace, table)
        if not isinstance(found, StageResult) or found.artifact is None:
            anew = {stage: found} if isinstance(found, str) else {}
            break
        # For whoever has this job as a parent.
        write_report(workspace, later, found)
        message = found.message.removeprefix(f"reused from {plan.parent} · ")[:200]
        also.append(ReusedStage(stage=stage, artifact=found.artifact, message=message))
        last, artifact = stage, found.artifact
    return result.model_copy(update={"also_reused": also or None, "runs_anew": anew or None})


def _adopted(plan: Plan, workspace: Path, artifact: str, table: StageTable, how: str) -> StageResult | None:
    manifest = find_artifact(workspace, artifact, plan.fingerprint)
    if manifest is None or not manifest.result or manifest.inputs != input_digests(plan, workspace, table):
        return None
    try:
        result = StageResult.from_json_object(manifest.result)
    except ValidationError:
        return None
    return result.model_copy(update={"attempt": plan.attempt, "message": f"{how} · {result.message}"[:512]})


def _artifacts_of_parent(plan: Plan, workspace: Path, table: StageTable) -> Iterator[str]:
    """Where the parent's artifact may be: a parent that is a variant itself may have it from its own parent."""
    for folder in (f"{VARIANTS_FOLDER}/{plan.parent}", None):
        recorded = _recorded(workspace, plan.stage, folder)
        if recorded is not None:
            yield recorded
        yield artifact_in(folder, plan, table)


def _recorded(workspace: Path, stage: Stage, folder: str | None) -> str | None:
    """The artifact that a job's folder says the stage had."""
    try:
        result = json.loads(report_file(workspace, folder, stage).read_text(encoding="utf-8"))
        return StageResult.from_json_object(result).artifact
    except (OSError, ValueError):
        return None


def _why_not(plan: Plan, workspace: Path, artifact: str, manifest: ArtifactManifest, table: StageTable) -> str:
    if manifest.fingerprint != plan.fingerprint:
        return f"{artifact} was made from another spec"
    now = input_digests(plan, workspace, table)
    if manifest.inputs != now:
        before = manifest.inputs
        names = [name for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)]
        more = " and more" if len(names) > MOST_NAMES else ""
        return f"{', '.join(names[:MOST_NAMES])}{more} changed since {plan.parent} read it"
    return f"files of {artifact} are missing or were changed"
