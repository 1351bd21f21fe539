"""Evaluation of the models' CEL rules, as the API server evaluates them from the CRD."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from functools import cache
from typing import Any, Union, get_args, get_origin

import celpy
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError
from pydantic import ValidationError

from finetune_api.base import ApiModel, CelRule
from finetune_api.objects import Object
from finetune_api.problems import Problem

UNION_ORIGINS = (Union, types.UnionType)


def broken_rules(model: type[ApiModel], new: Object, old: Object | None, path: str = "") -> list[Problem]:
    """Every rule of `model` and of the models within it that `new` breaks.

    `new` and `old` are JSON objects with defaults filled in. Transition rules run only where there is an old value.
    """
    problems = []
    for rule in model.cel_rules:
        if rule.is_transition and old is None:
            continue
        if not _holds(rule, new, old):
            problems.append(Problem(f"{path}{rule.field_path or ''}", rule.message))
    for name, child in _children(model):
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
    for name, child in _children(model):
        part = value.get(name)
        items = [(f"[{i}]", item) for i, item in enumerate(part)] if isinstance(part, list) else [("", part)]
        for suffix, item in items:
            if not isinstance(item, dict):
                continue
            place = f"{path}.{name}{suffix}".lstrip(".")
            try:
                complete = child.model_validate_json(json.dumps(item, default=str), strict=True).to_json_object()
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


@cache
def _program(rule: str) -> celpy.Runner:
    environment = _environment()
    return environment.program(environment.compile(rule))


@cache
def _environment() -> celpy.Environment:
    return celpy.Environment()


@cache
def _children(model: type[ApiModel]) -> tuple[tuple[str, type[ApiModel]], ...]:
    """JSON name and model of each field that holds a model or a list of models."""
    return tuple(
        (field.alias or name, child)
        for name, field in model.model_fields.items()
        for child in _models_in(field.annotation)
    )


def _models_in(annotation: Any) -> Iterator[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        yield annotation
    elif get_origin(annotation) in UNION_ORIGINS or get_origin(annotation) is list:
        for argument in get_args(annotation):
            yield from _models_in(argument)
