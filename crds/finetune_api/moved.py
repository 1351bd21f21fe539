"""What a released version had in the API and this one has elsewhere, or not at all: told by name, not as unknown.

A row for each field and each name of an enumeration that goes; a test holds the API to what was released before.
"""

from __future__ import annotations

from collections.abc import Iterable

from finetune_api.base import ApiModel

MOVED: dict[str, str] = {
    "FineTuneJob spec.evaluate.tasks[].metrics[]=EM": "is called ExactMatch",
    "FineTuneJob spec.evaluate.gate.require[].metric=EM": "is called ExactMatch",
}
"""What to tell, as in `moved to spec.checkpoint.everySteps`, by kind and path: `FineTuneJob spec.data.sources[].uri`.

Of a name of an enumeration with that name: `FineTuneJob spec.adapt.method=LoRA`.
"""


def what_became(model: type[ApiModel], location: Iterable[str | int], value: object = None) -> str | None:
    """What to tell of a field that is no longer known, or of its `value`; None if no released version had it.

    `location`: of the field, as pydantic gives it.
    """
    path = "".join("[]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    name = f"{model.__name__} {path}"
    return MOVED.get(name if value is None else f"{name}={value}")
