"""What a rival is: a system that answers test sets, or parts of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finetune_api.evaluate import Rival
from finetune_api.report import ModelDescription
from finetune_trainer.context import StageContext
from finetune_trainer.evaluation.answers import SystemAnswers
from finetune_trainer.tasks import TestSet

OnBatch = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRival:
    """A rival that was looked at: it is there, and its files can be read."""

    description: ModelDescription
    answer: Callable[[OnBatch], SystemAnswers]
    """Collective; what it is given is called every now and then with the number of segments done since."""
    decoded: int = 0
    """Segments that it will decode, for progress."""


OpenFunction = Callable[[StageContext, Rival, str, Sequence[TestSet]], OpenRival]
"""Context, settings, field that names the rival, and the test sets of the task types that it can answer.

Raises:
    BadConfiguration, BadData: in words, before anything is decoded.
"""
