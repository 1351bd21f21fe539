"""What is wrong with a manifest: every problem at once, each with its field path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from finetune_api.base import FORMS, ApiModel
from finetune_api.moved import what_became
from finetune_api.suggest import meant_field, meant_word


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a manifest."""

    field: str
    """Path such as spec.data.sources[1].languages."""
    message: str
    """What is wrong and what to do."""
    reason: str = "Invalid"
    """CamelCase reason for conditions: Invalid, NotSupported, ..."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def join_problems(problems: Iterable[Problem]) -> str:
    """All problems in one line, for a condition's message."""
    return "; ".join(str(p) for p in problems)


def field_path(location: Iterable[str | int]) -> str:
    """`("spec", "data", 1)` -> `spec.data[1]`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def problems_of(error: ValidationError, model: type[ApiModel] | None = None) -> list[Problem]:
    """Pydantic's errors as problems, in plain words; one per field.

    `model`: what was parsed; with it a name that is nearly right is told.
    """
    messages: dict[str, list[str]] = {}
    for e in error.errors(include_url=False):
        location = [part for part in e["loc"] if not _is_branch_of_union(part)]
        text = _plain_message(e["type"], e["msg"], e.get("input"), e.get("ctx", {}))
        if model is not None:
            text = _with_what_is_meant(e["type"], text, model, location, e.get("input"))
        messages.setdefault(field_path(location), []).append(text)
    return [Problem(field, " or ".join(texts)) for field, texts in messages.items()]


def _with_what_is_meant(kind: str, text: str, model: type[ApiModel], location: list[str | int], value: object) -> str:
    """The message, with where a field or a name went that a released version had, or which one was meant."""
    if kind == "literal_error" and (became := what_became(model, location, value)):
        return f"{value} {became}"
    if kind == "extra_forbidden":
        if became := what_became(model, location):
            return became
        if meant := meant_field(model, location):
            return f"{text}: did you mean {meant}?"
    return text


def _is_branch_of_union(part: str | int) -> bool:
    """Pydantic names the branches of `int | Literal["Auto"]` in the location: constrained-int, literal['Auto']."""
    return isinstance(part, str) and (part.startswith(("constrained-", "literal[")) or part == "int")


NOT_OF_TYPE = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must have fields of its own",
    "model_type": "must have fields of its own",
    "model_attributes_type": "must have fields of its own",
}
OUT_OF_BOUNDS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
}
WRONG_LENGTH = {
    "too_short": "must have at least {min_length} {items}, not {actual_length}",
    "too_long": "must have at most {max_length} {items}, not {actual_length}",
}
MULTIPLES = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


def _plain_message(kind: str, message: str, value: object, context: dict[str, object]) -> str:
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "missing":
        return "required field is missing"
    if kind == "literal_error":
        meant = meant_word(str(value), re.findall("'([^']+)'", str(context["expected"])))
        return f"must be one of {context['expected']}, not {_shown(value)}" + (
            f": did you mean {meant}?" if meant else ""
        )
    if kind in WRONG_LENGTH:
        limit = context["min_length" if kind == "too_short" else "max_length"]
        return WRONG_LENGTH[kind].format(items="item" if limit == 1 else "items", **context)
    if kind == "string_pattern_mismatch":
        return _not_of_form(str(context["pattern"]), message, value)
    plain = NOT_OF_TYPE.get(kind) or OUT_OF_BOUNDS.get(kind, "").format(**context)
    return f"{plain or message[0].lower() + message[1:]}, not {_shown(value)}{_number_meant(kind, value)}"


def _not_of_form(pattern: str, message: str, value: object) -> str:
    """A text that breaks its pattern, with the one that is meant."""
    form = FORMS.get(pattern)
    if form is None:
        return f"{message}, not {_shown(value)}"
    meant = form.spelling(str(value)) if form.spelling else ""
    return f"{form.words}, not {_shown(value)}" + (f": write {meant}" if meant else "")


def _number_meant(kind: str, value: object) -> str:
    """`420M` where a number is expected."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kKMGB])", str(value)) if kind in NOT_OF_TYPE else None
    if found and "number" in NOT_OF_TYPE[kind]:
        return f": write {round(float(found[1]) * MULTIPLES[found[2]])}"
    return ""


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
