"""What a system answered elsewhere: a file a task, a hypothesis a line."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from finetune_api.evaluate import HypothesesFile, Rival
from finetune_api.report import ModelDescription
from finetune_trainer.context import StageContext
from finetune_trainer.data.hypotheses import aligned_hypotheses, all_problems_at_once
from finetune_trainer.evaluation.answers import SystemAnswers, repeat_answers
from finetune_trainer.evaluation.rivals.interface import OnBatch, OpenRival
from finetune_trainer.tasks import Predictions, TestSet


def open_hypotheses(context: StageContext, rival: Rival, field: str, test_sets: Sequence[TestSet]) -> OpenRival:
    """See OpenFunction; all files are read here, and compared with the test sets."""
    by_task = {test_set.task.name: test_set for test_set in test_sets}
    form = context.plan.spec.data.clean.normalise

    def read(item: tuple[int, HypothesesFile]) -> tuple[str, list[str]]:
        place, file = item
        lines = aligned_hypotheses(file, by_task[file.task].alignments, f"{field}.hypotheses[{place}].uri")
        # As the references are: the same word in another Unicode form would count as wrong.
        return file.task, lines if form == "None" else [unicodedata.normalize(form, line) for line in lines]

    files = [(i, file) for i, file in enumerate(rival.hypotheses or ()) if file.task in by_task]
    texts = dict(all_problems_at_once(read, files))
    paths = ", ".join(file.uri for file in rival.hypotheses or ())
    description = ModelDescription(name=rival.name, path=paths, type=rival.kind)

    def answer(_: OnBatch) -> SystemAnswers:
        predictions = {name: Predictions(lines, _notes(lines)) for name, lines in texts.items()}
        return repeat_answers(context, description, test_sets, predictions)

    return OpenRival(description=description, answer=answer)


def _notes(lines: Sequence[str]) -> list[str]:
    empty = sum(not line for line in lines)
    return [f"{empty:,} of {len(lines):,} hypotheses are empty lines."] if empty else []
