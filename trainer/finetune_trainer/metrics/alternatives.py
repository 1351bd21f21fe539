"""Several right references of one segment, in one field of a table."""

from __future__ import annotations

from finetune_api.registries import TASKS
from finetune_trainer.metrics.interface import Alternatives

BETWEEN = " ||| "
"""Alternatives in one field of a report; in none of them it occurs."""


def joined(alternatives: Alternatives) -> str:
    """Alternatives in one field of a report."""
    return BETWEEN.join(alternatives)


def parted(field: str, task_type: str) -> Alternatives:
    """Alternatives from what `joined` wrote; of task types that have one reference a segment the field as it is."""
    row = TASKS.get(task_type)
    return tuple(field.split(BETWEEN)) if row is not None and row.has_alternatives else (field,)
