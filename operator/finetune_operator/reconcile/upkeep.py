"""What a gang needs, in full, and what of it somebody deleted or edited by hand while it runs."""

from __future__ import annotations

from typing import Any

from finetune_api.objects import Object
from finetune_api.status import StageStatus
from finetune_operator.reconcile import names
from finetune_operator.reconcile.children import QUEUE_LABEL, gang_children, shared_children
from finetune_operator.reconcile.gang import Gang
from finetune_operator.reconcile.plan import gang_size, make_plan
from finetune_operator.reconcile.visit import Visit

_KEPT_FIELDS: dict[str, tuple[str, ...]] = {
    "Job": ("completions", "parallelism", "suspend"),
    "Service": ("selector", "publishNotReadyAddresses"),
    "NetworkPolicy": ("podSelector", "policyTypes", "ingress", "egress"),
}
"""Fields of `spec` that the API server lets people change and that a gang cannot do without, by kind."""


_FIXED_FIELDS = ("template", "podFailurePolicy")
"""Fields of a Job's `spec` that the API server lets nobody change."""


def gang_intent(visit: Visit, stage: StageStatus) -> tuple[Object, ...]:
    """All children of this attempt in full intent, in the order in which they must exist."""
    runtime = visit.runtime()
    if runtime is None:
        raise ValueError("a job without a runtime is refused by validation")
    artifacts = {s.name: s.artifact for s in visit.draft.stages if s.state == "Succeeded" and s.artifact is not None}
    plan = make_plan(visit.job, stage, artifacts, visit.settings)
    worst = sorted(n for n, count in stage.node_failures.items() if count >= visit.settings.node_failures)
    avoided = tuple(worst) if visit.job.spec.failure_policy.exclude_nodes else ()
    return gang_children(visit.job, plan, runtime, avoided, visit.settings)


def repair(visit: Visit, stage: StageStatus, gang: Gang) -> None:
    """Apply again what a running gang has lost."""
    if visit.problems or not _is_damaged(visit, stage, gang):
        return
    for intent in gang_intent(visit, stage):
        known = visit.child(intent["kind"], intent["metadata"]["name"])
        if known is None:
            visit.apply.append(intent)
        elif is_edited(intent, known):
            visit.apply.append(_with_fixed_fields_of(known, intent))


def _is_damaged(visit: Visit, stage: StageStatus, gang: Gang) -> bool:
    """Whether `repair` has anything to do; without building plan and pods, for this is checked at every visit."""
    nodes, _ = gang_size(visit.job.spec, stage.name)
    for name in {names.runtime_name(visit.job), names.gang_name(visit.job, stage.name, stage.attempt)}:
        if visit.child("ConfigMap", name) is None:
            return True
    for intent in shared_children(visit.job, nodes, visit.settings):
        known = visit.child(intent["kind"], intent["metadata"]["name"])
        if known is None or is_edited(intent, known):
            return True
    return gang.job is not None and is_edited(_job_fields(gang.job, nodes), gang.job)


def _job_fields(job: Object, nodes: int) -> Object:
    fields: Object = {"completions": nodes, "parallelism": nodes}
    if not is_queued(job):
        fields["suspend"] = False
    return {"kind": "Job", "spec": fields}


def is_queued(job: Object) -> bool:
    """Whether a queue decides when the Job runs."""
    return QUEUE_LABEL in (job["metadata"].get("labels") or {})


def is_edited(intent: Object, known: Object) -> bool:
    """Whether a field that we keep has another value than intended."""
    wanted, actual = intent.get("spec", {}), known.get("spec") or {}
    fields = (field for field in _KEPT_FIELDS.get(intent["kind"], ()) if field in wanted)
    return any(not _agrees(wanted[field], actual.get(field, False)) for field in fields)


def _agrees(wanted: Any, actual: Any) -> bool:
    """Equal but for what the API server adds as defaults: never to a selector, nor to a list."""
    if isinstance(wanted, dict) and isinstance(actual, dict):
        if all(isinstance(part, str) for part in wanted.values()):
            return wanted == actual
        return all(key in actual and _agrees(part, actual[key]) for key, part in wanted.items())
    if isinstance(wanted, list) and isinstance(actual, list):
        return len(wanted) == len(actual) and all(map(_agrees, wanted, actual))
    return bool(wanted == actual)


def _with_fixed_fields_of(known: Object, intent: Object) -> Object:
    """Parts of a Job cannot change, and this operator may be newer than the Job: leave them as they are."""
    if intent["kind"] != "Job" or "template" not in known["spec"]:
        return intent
    spec = {key: value for key, value in intent["spec"].items() if key not in _FIXED_FIELDS}
    return intent | {"spec": spec | {key: known["spec"][key] for key in _FIXED_FIELDS if key in known["spec"]}}
