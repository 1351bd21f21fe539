"""What questions are tested on, and what a report shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from finetune_api.job import FineTuneJobSpec
from finetune_api.questions import Question
from finetune_trainer.data.hypotheses import alignments_of
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.questions import loaded
from finetune_trainer.data.units import unit_of
from finetune_trainer.metrics import BETWEEN, Alternatives
from finetune_trainer.tasks.interface import Grouping, TestSet, adapted_template, evaluation_task
from finetune_trainer.tasks.stored_rows import rows_to_answer

SHOWN = 200
"""Characters of a context in a report, about."""
_CONTEXT_EDGES = (1, 51, 101, 201, 401)
"""First length of each group of contexts, in units; the last is open."""


@dataclass(frozen=True, kw_only=True)
class QuestionTestSet(TestSet):
    """Questions, in the order of the sources."""

    questions: list[Question]


def question_test_set(spec: FineTuneJobSpec, data: PreparedData, index: int) -> QuestionTestSet:
    """The test set of spec.evaluate.tasks[index].

    Raises:
        BadConfiguration: if there is no such task.
        BadData: if there is nothing to test on.
    """
    task = evaluation_task(spec, index)
    questions = [loaded(row) for row in rows_to_answer(data, task, f"spec.evaluate.tasks[{index}]")]
    return QuestionTestSet(
        task=task,
        sources=[one_line(question.question) for question in questions],
        references=[references(question) for question in questions],
        contexts=[shortened(question) for question in questions],
        language=data.languages(task.source)[0],
        alignments=alignments_of(task, data),
        questions=questions,
        template=adapted_template(spec, task.type),
    )


def references(question: Question) -> Alternatives:
    """All right answers, each once and on one line; the empty text where the context does not answer."""
    texts = dict.fromkeys(one_line(answer.text).replace(BETWEEN, BETWEEN.strip()) for answer in question.answers)
    return tuple(texts) or ("",)


def shortened(question: Question) -> str:
    """The context on one line, around its first answer."""
    context = question.context
    middle = question.answers[0].start if question.answers else 0
    start = max(0, min(middle - SHOWN // 2, len(context) - SHOWN))
    # Cut at blanks, where there are any.
    start = context.rfind(" ", 0, start + 1) + 1 if start else 0
    end = context.find(" ", start + SHOWN)
    end = len(context) if end < 0 or len(context) - start <= SHOWN else min(end, start + 2 * SHOWN)
    return one_line("…" * (start > 0) + context[start:end] + "…" * (end < len(context)))


def groupings(test_set: QuestionTestSet) -> dict[str, Grouping]:
    """By whether the context answers, where some do not, and by its length."""
    unit = unit_of(test_set.language)
    lengths = np.array([len(unit.split(question.context)) for question in test_set.questions], np.float64)
    names = [f"{a}–{b - 1} {unit.name}" for a, b in pairwise(_CONTEXT_EDGES)] + [f"{_CONTEXT_EDGES[-1]}+ {unit.name}"]
    by_length = {"context": Grouping(lengths, _CONTEXT_EDGES, names)}
    answerable = np.array([float(bool(question.answers)) for question in test_set.questions])
    if answerable.all():
        return by_length
    return {"answerable": Grouping(answerable, (0.0, 1.0), ("no answer in it", "an answer in it"))} | by_length


def failures(test_set: QuestionTestSet, outputs: Sequence[str]) -> dict[str, float]:
    """Diagnostics: questions with an answer that were given none; answers that do not stand in the context."""
    rows = list(zip(test_set.questions, outputs, strict=True))
    unanswered = [not output for question, output in rows if question.answers]
    foreign = [output.casefold() not in one_line(question.context).casefold() for question, output in rows if output]
    return {"unanswered": _share(unanswered), "notInContext": _share(foreign)}


def _share(values: Sequence[bool]) -> float:
    return sum(values) / max(1, len(values))
