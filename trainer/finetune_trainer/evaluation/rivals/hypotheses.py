"""What a system answered elsewhere: a file a task, a hypothesis a line."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from finetune_api.evaluate import HypothesesFile, Rival
from finetune_api.report import ModelDescription
from finetune_trainer.context import StageContext
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.rows import Malformed
from finetune_trainer.errors import BadData
from finetune_trainer.evaluation.answers import SystemAnswers, repeat_answers
from finetune_trainer.evaluation.rivals.interface import OnBatch, OpenRival
from finetune_trainer.tasks import Predictions, TestSet
from finetune_trainer.tasks.translation.text import one_line
from finetune_trainer.workspace.storage import local_path

_MOST_LINES = 3
"""Malformed ones that a message names."""


def open_hypotheses(context: StageContext, rival: Rival, field: str, test_sets: Sequence[TestSet]) -> OpenRival:
    """See OpenFunction; all files are read here, and compared with the test sets."""
    by_task = {test_set.task.name: test_set for test_set in test_sets}
    texts: dict[str, list[str]] = {}
    problems: list[BadData] = []
    form = context.plan.spec.data.clean.normalise
    for index, file in enumerate(rival.hypotheses or ()):
        if file.task not in by_task:
            continue
        place = f"{field}.hypotheses[{index}].uri"
        try:
            lines = _aligned(file, by_task[file.task], place)
            # As the references are: the same word in another Unicode form would count as wrong.
            texts[file.task] = lines if form == "None" else [unicodedata.normalize(form, line) for line in lines]
        except BadData as error:
            problems.append(error)
    if problems:
        first = problems[0]
        remedies = dict.fromkeys(problem.remedy for problem in problems)
        raise BadData(first.reason, "; ".join(problem.message for problem in problems), " ".join(remedies))
    paths = ", ".join(file.uri for file in rival.hypotheses or ())
    description = ModelDescription(name=rival.name, path=paths, type=rival.kind)

    def answer(_: OnBatch) -> SystemAnswers:
        predictions = {name: Predictions(lines, _notes(lines)) for name, lines in texts.items()}
        return repeat_answers(context, description, test_sets, predictions)

    return OpenRival(description=description, answer=answer)


def _notes(lines: Sequence[str]) -> list[str]:
    empty = sum(not line for line in lines)
    return [f"{empty:,} of {len(lines):,} hypotheses are empty lines."] if empty else []


def _aligned(file: HypothesesFile, test_set: TestSet, field: str) -> list[str]:
    """The line of each segment.

    Raises:
        BadData: no file; lines that are no text; another number of lines than segments; nothing but empty lines.
    """
    lines = _read(file, field)
    fitting = next((a for a in test_set.alignments if a.lines == len(lines)), None)
    path = local_path(file.uri, field)
    if fitting is None:
        expected = " or ".join(f"{a.lines:,} ({a.meaning})" for a in test_set.alignments)
        raise BadData(
            "HypothesesDoNotFit",
            f"{field}: {path} has {len(lines):,} lines, task '{test_set.task.name}' expects {expected}",
            "Write one hypothesis a line, in the order of the test set, with an empty line for none.",
        )
    chosen = [lines[int(place)] for place in fitting.places]
    if not any(chosen):
        raise BadData(
            "HypothesesEmpty", f"{field}: {path} holds nothing but empty lines", "Give the file with the outputs."
        )
    return chosen


def _read(file: HypothesesFile, field: str) -> list[str]:
    path = local_path(file.uri, field)
    if not path.is_file():
        raise BadData("SourceNotFound", f"{field}: no such file: {path}", "Check the path; the trainer must see it.")
    lines = [line for _, line in read_lines(path)]
    malformed = [line for line in lines if isinstance(line, Malformed)]
    if malformed:
        named = "; ".join(f"{path}:{line.line} {line.reason}" for line in malformed[:_MOST_LINES])
        more = f"; {len(malformed) - _MOST_LINES:,} more" if len(malformed) > _MOST_LINES else ""
        raise BadData("MalformedRow", f"{field}: {named}{more}", "Save the file as UTF-8 text, a hypothesis a line.")
    return [one_line(line) for line in lines if isinstance(line, str)]
