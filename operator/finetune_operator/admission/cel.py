"""Evaluation of the models' CEL rules, as the API server evaluates them from the CRD."""

from __future__ import annotations

from functools import cache

import celpy
from celpy.adapter import json_to_cel
from celpy.celtypes import ListType
from celpy.evaluation import CELEvalError
from pydantic import ValidationError

from finetune_api.base import ApiModel, CelRule, child_models
from finetune_api.objects import Object
from finetune_api.problems import Problem


def broken_rules(model: type[ApiModel], new: Object, old: Object | None, path: str = "") -> list[Problem]:
    """Every rule of `model` and of the models within it that `new` breaks.

    `new` and `old` are JSON objects with defaults filled in. Transition rules run only where there is an old value.
    """
    problems = []
    for rule in model.cel_rules:
        if rule.is_transition and old is None:
            continue
        if not _holds(rule, new, old):
            problems += [Problem(f"{path}{place}".lstrip("."), rule.message) for place in _places(rule, new)]
    for name, child in child_models(model):
        value = new.get(name)
        previous = old.get(name) if old is not None else None
        if isinstance(value, dict):
            problems += broken_rules(child, value, previous, f"{path}.{name}".lstrip("."))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                problems += broken_rules(child, item, None, f"{path}.{name}[{index}]".lstrip("."))
    return problems


def rules_broken_in_valid_parts(model: type[ApiModel], value: Object, path: str = "") -> list[Problem]:
    """Rules broken by those parts of an object that fit their schema, where the object as a whole does not."""
    problems = []
    for name, child in child_models(model):
        part = value.get(name)
        items = [(f"[{i}]", item) for i, item in enumerate(part)] if isinstance(part, list) else [("", part)]
        for suffix, item in items:
            if not isinstance(item, dict):
                continue
            place = f"{path}.{name}{suffix}".lstrip(".")
            try:
                complete = child.from_manifest(item).to_json_object()
            except ValidationError:
                problems += rules_broken_in_valid_parts(child, item, place)
            else:
                problems += broken_rules(child, complete, None, place)
    return problems


def _holds(rule: CelRule, new: Object, old: Object | None) -> bool:
    activation = {"self": json_to_cel(new)}
    if old is not None:
        activation["oldSelf"] = json_to_cel(old)
    try:
        return bool(_program(rule.rule).evaluate(activation))
    except CELEvalError:
        return False


def _places(rule: CelRule, new: Object) -> list[str]:
    """Where a rule that does not hold is broken: its field, or those elements of it that do not keep the rule."""
    field = rule.field_path or ""
    if rule.kept_by is None:
        return [field]
    try:
        kept = _program(rule.kept_by).evaluate({"self": json_to_cel(new)})
    except CELEvalError:
        return [field]
    elements = kept if isinstance(kept, ListType) else ()
    return [f"{field}[{i}]{rule.element_field}" for i, keeps in enumerate(elements) if not keeps] or [field]


@cache
def _program(rule: str) -> celpy.Runner:
    environment = _environment()
    return environment.program(environment.compile(rule))


@cache
def _environment() -> celpy.Environment:
    return celpy.Environment()
