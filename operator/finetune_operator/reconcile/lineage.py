"""What a job takes over from the job that `lineage.parent` names, and what keeps it from doing so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.differences import differences
from finetune_api.job import FineTuneJob
from finetune_api.problems import Problem
from finetune_api.stage_result import StageResult
from finetune_api.stages import PIPELINE, Stage, reusable_stages
from finetune_api.status import FineTuneJobStatus, StageStatus
from finetune_operator.reconcile import names
from finetune_operator.reconcile.plan import fingerprint, part
from finetune_operator.reconcile.visit import Visit

FIELD = "spec.lineage.parent"
MOST_ANCESTORS = 32
"""Looked at for a circle."""
RUNS_ANEW = "runs anew: "
MOST_FIELDS = 3
"""That differ, named in a reason."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A job's spec beside its parent's."""

    shared: tuple[Stage, ...]
    """First stages that the parent's spec describes alike; whether their data are the same is for pods to see."""
    anew: Stage | None
    """The first stage with a model or data that it does not."""
    reason: str
    """Why."""


def has_begun(job: FineTuneJob) -> bool:
    """Whether a gang of the job was ever made: from then on it needs its parent's files only."""
    return job.status is not None and any(stage.start_time is not None for stage in job.status.stages)


def compare(job: FineTuneJob, parent: FineTuneJob) -> Comparison:
    """Which stages the two have in common, by fingerprint, and where they part."""
    shared: list[Stage] = []
    for stage in (s for s in job.spec.stages() if s in reusable_stages()):
        if stage not in parent.spec.stages():
            return Comparison(tuple(shared), stage, f"{parent.metadata.name} has no {stage} stage")
        if fingerprint(job.spec, stage) != fingerprint(parent.spec, stage):
            return Comparison(tuple(shared), stage, _difference(job, parent, stage))
        shared.append(stage)
    return Comparison(tuple(shared), None, "")


def _difference(job: FineTuneJob, parent: FineTuneJob, stage: Stage) -> str:
    """`spec.pretrain.budget.tokens differs from base`."""
    ours, theirs = job.spec.to_json_object(), parent.spec.to_json_object()
    parts = PIPELINE[stage].parts
    found = [d for p in parts for d in differences(part(ours, p), part(theirs, p), f"spec.{p}")]
    if not found:
        return f"the stages before it are not those of {parent.metadata.name}"
    more = " and more" if len(found) > MOST_FIELDS else ""
    verb = "differs" if len(found) == 1 else "differ"
    return f"{', '.join(d.path for d in found[:MOST_FIELDS])}{more} {verb} from {parent.metadata.name}"


def parent_problems(job: FineTuneJob, ancestors: Sequence[FineTuneJob]) -> list[Problem]:
    """What keeps a job that has not begun from reusing its parent's stages.

    Args:
        job: with `lineage.parent` or without.
        ancestors: the parent, its parent and so on, as far as they exist; up to the first that comes twice.
    """
    name = job.parent
    if name is None:
        return []
    lineage = [job.metadata.name, *(ancestor.metadata.name for ancestor in ancestors)]
    if len(set(lineage)) < len(lineage):
        circle = " -> ".join(lineage)
        return [Problem(FIELD, f"a circle of parents: {circle}. Name a job that does not build on it", "ParentCircle")]
    if not ancestors:
        return [Problem(FIELD, _not_found(job, name), "ParentNotFound")]
    parent = ancestors[0]
    if _workspace(job) != _workspace(parent):
        return [Problem("spec.workspace", _elsewhere(job, parent), "ParentElsewhere")]
    return _unfinished(job, parent)


def _not_found(job: FineTuneJob, name: str) -> str:
    return (
        f"FineTuneJob {name} does not exist in namespace {job.metadata.namespace or 'default'}, or is being deleted. "
        f"If it was deleted, apply its manifest again, with {_place(job)}: what it made is found there"
    )


def _workspace(job: FineTuneJob) -> str:
    """Claim of the job, or its folder."""
    workspace = job.spec.workspace
    if workspace is None:
        return ""
    return workspace.path or workspace.claim_name or names.claim_name(job)


def _place(job: FineTuneJob) -> str:
    return f"workspace.claimName: {_workspace(job)}"


def _elsewhere(job: FineTuneJob, parent: FineTuneJob) -> str:
    return (
        f"{parent.metadata.name} works in {_workspace(parent) or 'no workspace'}, this job in "
        f"{_workspace(job) or 'none'}: only artifacts of one's own workspace are reused. Give the parent's in a new "
        "job, or remove lineage.parent"
    )


def _unfinished(job: FineTuneJob, parent: FineTuneJob) -> list[Problem]:
    """Of the stages that the two share, the first that the parent has not made."""
    name, status = parent.metadata.name, parent.status or FineTuneJobStatus()
    stages = {stage.name: stage for stage in status.stages}
    for shared in compare(job, parent).shared:
        stage = stages.get(shared, StageStatus(name=shared, state="Pending"))
        if stage.state == "Succeeded":
            continue
        if any(c.type == "Succeeded" and c.status == "False" for c in status.conditions):
            why = f" in {stage.name}: {stage.message}" if stage.state == "Failed" else f" before {stage.name}"
            remedy = "Name a parent that made it, or remove lineage.parent, in a new job"
            return [Problem(FIELD, f"{name} failed{why}. {remedy}", "ParentFailed")]
        waits = f"{name} has not finished {shared} yet (it is {status.state}): this job can start once it has"
        return [Problem(FIELD, waits, "ParentNotFinished")]
    return []


def announce(visit: Visit) -> None:
    """Say before the first pod which stage the parent's spec describes otherwise."""
    if not visit.observed.ancestors:
        return
    comparison = compare(visit.job, visit.observed.ancestors[0])
    if comparison.anew is not None:
        _say_anew(visit, comparison.anew, comparison.reason)


def keep_claim(visit: Visit) -> None:
    """A claim that the parent made goes when all its owners are gone: be one of them."""
    claim, own = visit.observed.claim, names.owner_reference(visit.job)
    if claim is None or visit.problems or "deletionTimestamp" in claim["metadata"]:
        return
    owners = claim["metadata"].get("ownerReferences") or []
    if any(owner["uid"] == own["uid"] for owner in owners):
        return
    place = {key: claim["metadata"][key] for key in ("name", "namespace", "resourceVersion")}
    # Only one owner may be the controller.
    owner = {key: value for key, value in own.items() if key != "controller"}
    metadata = place | {"ownerReferences": [*owners, owner]}
    visit.apply.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata})


def take_over(visit: Visit, result: StageResult) -> None:
    """What the first pod found: stages of the parent that are whole and fit are done, and need no pods."""
    parent = visit.job.parent
    if parent is None:
        return
    stages = visit.job.spec.stages()
    expected = list(stages[stages.index(result.stage) + 1 :]) if result.also_reused else []
    for reused, stage in zip(result.also_reused or (), expected, strict=False):
        if reused.stage != stage or stage not in reusable_stages():
            break
        message = f"reused from {parent} · {reused.message}"
        visit.draft.update_stage(
            stage, state="Succeeded", message=message, artifact=reused.artifact, reused_from=parent
        )
        visit.draft.event("Normal", "StageReused", f"{stage}: {message}", stage)
    for stage, reason in (result.runs_anew or {}).items():
        # What the specs tell was said before.
        if stage in stages and not visit.draft.stage(stage).message.startswith(RUNS_ANEW):
            _say_anew(visit, stage, reason)


def _say_anew(visit: Visit, stage: Stage, reason: str) -> None:
    if visit.draft.stage(stage).state == "Pending":
        visit.draft.update_stage(stage, message=f"{RUNS_ANEW}{reason}")
    visit.draft.event("Normal", "StageRunsAnew", f"{stage} {RUNS_ANEW}{reason}", stage)
