"""`decoding` of an evaluation task: how a model's answers are searched for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from finetune_api.base import ApiModel, CelRule, OneOf
from finetune_api.registries import DECODINGS

DecodingMethod = Annotated[str, OneOf(DECODINGS)]


def _having(field: str) -> list[str]:
    return [name for name, row in DECODINGS.items() if field in row.fields]


def _fields() -> list[str]:
    return list(dict.fromkeys(field for row in DECODINGS.values() for field in row.fields))


class Decoding(ApiModel):
    """How answers are searched for: the same way for every model that answers the task with the job's prompts."""

    cel_rules = tuple(
        CelRule(
            rule=f"!has(self.{field}) || self.method in {_having(field)}",
            message=f"{field} is for method {' or '.join(_having(field))}",
            field_path=f".{field}",
        )
        for field in _fields()
    )

    method: DecodingMethod = "Greedy"
    """Greedy: the likeliest token each time. Beam: beam search. Sampling: each token is drawn by its probability. MBR:
    of several samples the one most like all of them, by chrF (Eikema and Aziz 2020); the others are kept beside the
    report."""
    beams: int | None = Field(default=None, ge=2, le=64)
    """Of Beam: continuations kept at each token; default 4."""
    length_penalty: float | None = Field(default=None, ge=-10.0, le=10.0)
    """Of Beam: a log-likelihood is divided by its length to this power; default 1. Less makes outputs shorter."""
    temperature: float | None = Field(default=None, gt=0.0, le=100.0)
    """Of Sampling and MBR: logits are divided by it; default 1."""
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    """Of Sampling and MBR: draw from the fewest tokens that together have this probability (Holtzman et al. 2020);
    default 1, all tokens."""
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """Of Sampling and MBR; default 17. The same prompt, seed and model give the same draws, whatever else is
    decoded."""
    samples: int | None = Field(default=None, ge=2, le=256)
    """Of MBR: samples of each answer; default 16."""

    def filled(self) -> Decoding:
        """With the defaults of the method's own fields."""
        own = {name: value for name, value in _DEFAULTS.items() if name in DECODINGS[self.method].fields}
        given = {_PYTHON_NAMES[name]: value for name, value in own.items() if self._value(name) is None}
        return self.model_copy(update=given)

    def _value(self, name: str) -> object:
        return getattr(self, _PYTHON_NAMES[name])

    def describe(self) -> str:
        """For people: `Beam (beams 4, length penalty 1)`."""
        filled = self.filled()
        settings = [
            f"{_PYTHON_NAMES[name].replace('_', ' ')} {filled._value(name):g}"  # noqa: SLF001 - its own
            for name in DECODINGS[self.method].fields
        ]
        return f"{self.method} ({', '.join(settings)})" if settings else self.method


_DEFAULTS: dict[str, float] = {
    "beams": 4,
    "lengthPenalty": 1.0,
    "temperature": 1.0,
    "topP": 1.0,
    "seed": 17,
    "samples": 16,
}
_PYTHON_NAMES = {field.alias or name: name for name, field in Decoding.model_fields.items()}
