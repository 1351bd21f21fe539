"""The honest rival of adaptive translation: paste the target of the most similar training pair, and change nothing."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.evaluate import Rival
from finetune_api.report import ModelDescription
from finetune_trainer.context import StageContext
from finetune_trainer.evaluation.answers import SystemAnswers, repeat_answers
from finetune_trainer.evaluation.rivals.interface import OnBatch, OpenRival
from finetune_trainer.tasks import Predictions, TestSet, find_task


def open_fuzzy_match(
    context: StageContext,
    rival: Rival,
    field: str,  # noqa: ARG001 - see OpenFunction
    test_sets: Sequence[TestSet],
) -> OpenRival:
    """See OpenFunction; the test sets hold the matches already."""
    description = ModelDescription(name=rival.name, path="", type=rival.kind)

    def answer(_: OnBatch) -> SystemAnswers:
        predictions = {test_set.task.name: _paste(test_set) for test_set in test_sets}
        return repeat_answers(context, description, test_sets, predictions)

    return OpenRival(description=description, answer=answer)


def _paste(test_set: TestSet) -> Predictions:
    answers = find_task(test_set.task.type).nearest_answers(test_set)
    missing = sum(answer is None for answer in answers)
    notes = [f"{missing:,} segments have no fuzzy match; their hypothesis is empty."] if missing else []
    return Predictions([answer or "" for answer in answers], notes)
