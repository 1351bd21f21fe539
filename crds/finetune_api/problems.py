"""What is wrong with a manifest: every problem at once, each with its field path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError


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


def problems_of(error: ValidationError) -> list[Problem]:
    """Pydantic's errors as problems, in plain words; one per field."""
    messages: dict[str, list[str]] = {}
    for e in error.errors(include_url=False):
        field = field_path(part for part in e["loc"] if not _is_branch_of_union(part))
        messages.setdefault(field, []).append(_plain_message(e["type"], e["msg"], e.get("input"), e.get("ctx", {})))
    return [Problem(field, " or ".join(texts)) for field, texts in messages.items()]


def _is_branch_of_union(part: str | int) -> bool:
    """Pydantic names the branches of `int | Literal["Auto"]` in the location: constrained-int, literal['Auto']."""
    return isinstance(part, str) and (part.startswith(("constrained-", "literal[")) or part == "int")


def _plain_message(kind: str, message: str, value: object, context: dict[str, object]) -> str:
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "missing":
        return "required field is missing"
    if kind == "literal_error":
        return f"must be one of {context['expected']}, not {value!r}"
    shown = repr(value)
    return f"{message[0].lower()}{message[1:]}, not {shown if len(shown) <= 80 else shown[:77] + '...'}"
