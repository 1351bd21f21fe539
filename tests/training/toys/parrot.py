"""A rival: whatever it is given, it says again."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.evaluate import Rival
from finetune_api.report import ModelDescription
from finetune_trainer.context import StageContext
from finetune_trainer.evaluation.answers import SystemAnswers, repeat_answers
from finetune_trainer.evaluation.rivals.interface import OnBatch, OpenRival
from finetune_trainer.tasks import Predictions, TestSet


def open_parrot(context: StageContext, rival: Rival, field: str, test_sets: Sequence[TestSet]) -> OpenRival:
    description = ModelDescription(name=rival.name, path="", type=rival.kind)

    def answer(_: OnBatch) -> SystemAnswers:
        said = {test_set.task.name: Predictions(test_set.sources) for test_set in test_sets}
        return repeat_answers(context, description, test_sets, said)

    return OpenRival(description=description, answer=answer)
