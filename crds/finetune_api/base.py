"""What all API models have in common: camelCase JSON names, no unknown fields, CEL rules beside the model."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from finetune_api.objects import Object

GROUP = "finetune-operator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True)
class CelRule:
    """One `x-kubernetes-validations` entry of the object that carries it.

    `rule` is CEL over `self` (and `oldSelf` for a transition rule, which only runs on updates).
    """

    rule: str
    message: str
    field_path: str | None = None
    kept_by: str | None = None
    """CEL: of each element of the list `field_path`, in order, whether it keeps the rule. The API server can name the
    list only; who evaluates the rule here names the elements."""
    element_field: str = ""
    """Of an element: the field that is wrong, as .name."""

    def to_json_object(self) -> dict[str, str]:
        """As an entry of `x-kubernetes-validations`."""
        entry = {"rule": self.rule, "message": self.message}
        return entry | ({"fieldPath": self.field_path} if self.field_path else {})

    @property
    def is_transition(self) -> bool:
        """Whether the rule compares with the stored object and so runs on updates only."""
        return "oldSelf" in self.rule


def each(collection: str, condition: str, message: str, *, unless: str = "", field: str = "") -> CelRule:
    """A rule that each element `x` of a list keeps.

    Args:
        collection: path of the list, as .adapt.lora.targets.
        condition: CEL over `x` and `self`.
        message: what is wrong with those that do not keep it.
        unless: CEL; where it holds the rule does not apply, as where there is no such list.
        field: of an element: the field that is wrong.
    """
    list_, alternative = f"self{collection}", f"{unless} || " if unless else ""
    return CelRule(
        rule=f"{alternative}{list_}.all(x, {condition})",
        message=message,
        field_path=collection,
        kept_by=f"{list_}.map(x, {condition})",
        element_field=field,
    )


class OneOf:
    """Annotation of a string that is one of the names of a table; an enumeration in schemas, as Literal is."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """What Literal of the names would be."""
        return core_schema.literal_schema(list(self.names))


class Form(NamedTuple):
    """What a text must look like."""

    words: str
    """As a message says it."""
    spelling: Callable[[str], str] | None
    """What to write instead of a text that is not so; empty if nobody knows what is meant."""


FORMS: dict[str, Form] = {}
"""By pattern."""


def form(pattern: str, words: str, spelling: Callable[[str], str] | None = None) -> str:
    """A field's `pattern`, with what a message says of it; regular expressions are no words."""
    FORMS[pattern] = Form(words, spelling)
    return pattern


class ApiModel(BaseModel):
    """Base of every model that crosses a process border."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    cel_rules: ClassVar[tuple[CelRule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The model's schema, with its CEL rules as `x-kubernetes-validations`."""
        schema = handler(core_schema)
        if cls.cel_rules:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [r.to_json_object() for r in cls.cel_rules]
        return schema

    def to_json_object(self) -> Object:
        """The JSON object as the API server would store it: camelCase, no nulls, defaults filled in."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_json_object(cls, value: Any) -> Self:
        """Parse a JSON object.

        Raises:
            pydantic.ValidationError: with all problems of the object at once.
        """
        return cls.model_validate(value)

    @classmethod
    def from_manifest(cls, value: Object) -> Self:
        """Parse as the API server does: camelCase names only, `"2"` and true are no numbers.

        Raises:
            pydantic.ValidationError: with all problems of the object at once.
        """
        # JSON, so that strings may still be times.
        return cls.model_validate_json(json.dumps(value, default=str), strict=True, by_alias=True, by_name=False)


@cache
def child_models(model: type[ApiModel]) -> tuple[tuple[str, type[ApiModel]], ...]:
    """JSON name and model of each field that holds a model or a list of models."""
    return tuple(
        (field.alias or name, child)
        for name, field in model.model_fields.items()
        for child in _models_in(field.annotation)
    )


def _models_in(annotation: Any) -> Iterator[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, list):
        for argument in get_args(annotation):
            yield from _models_in(argument)


def is_finite(value: Any) -> bool:
    """Whether a JSON value has no infinity and no NaN in it: Python reads and writes them, the API server does not."""
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list):
        return all(map(is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
