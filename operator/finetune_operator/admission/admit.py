"""Schema, defaults and rules for one object."""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from finetune_api.base import API_VERSION, ApiModel
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.problems import Problem, problems_of
from finetune_api.runtime import ClusterFineTuneRuntime, FineTuneRuntime
from finetune_api.status import FineTuneJobStatus
from finetune_operator.admission.cel import broken_rules, rules_broken_in_valid_parts

MODELS: dict[str, type[ApiModel]] = {
    "FineTuneJob": FineTuneJob,
    "FineTuneRuntime": FineTuneRuntime,
    "ClusterFineTuneRuntime": ClusterFineTuneRuntime,
}


def admit(new: Object, old: Object | None = None) -> tuple[Object, list[Problem]]:
    """The object as it is stored, defaults filled in, and every problem that keeps it from being stored.

    With a problem the object is returned as it came. Kinds that are not ours have none, and no defaults.
    """
    model = MODELS.get(str(new.get("kind")))
    if model is None:
        return new, []
    problems = problems_in(new, old)
    return (new, problems) if problems else (_with_defaults(model, new), [])


def problems_in_status(new: Object) -> list[Problem]:
    """Everything wrong with `status`, as the API server checks it when only the status is written."""
    if new.get("kind") != "FineTuneJob":
        return []
    try:
        FineTuneJobStatus.from_json_object(new.get("status") or {})
    except ValidationError as error:
        return [replace(p, field=f"status.{p.field}") for p in problems_of(error)]
    return []


def problems_in(new: Object, old: Object | None = None) -> list[Problem]:
    """Everything wrong with an object of ours; `old` is the stored one on an update."""
    model = MODELS.get(str(new.get("kind")))
    if model is None:
        return [Problem("kind", f"must be one of {', '.join(MODELS)}, not {new.get('kind')!r}")]
    if new.get("apiVersion") != API_VERSION:
        return [Problem("apiVersion", f"must be {API_VERSION}, not {new.get('apiVersion')!r}")]
    try:
        complete = _with_defaults(model, new)
    except ValidationError as error:
        return problems_of(error, model) + rules_broken_in_valid_parts(model, new)
    return broken_rules(model, complete, old)


def _with_defaults(model: type[ApiModel], value: Object) -> Object:
    complete = model.from_manifest(value).to_json_object()
    return {key: part for key, part in complete.items() if key in value or key == "spec"}
