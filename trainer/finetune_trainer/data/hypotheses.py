"""Hypotheses that another system wrote: a text file, one a line, which must fit a test set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from finetune_api.evaluate import Evaluate, EvaluationTask, HypothesesFile
from finetune_trainer.data.alignment import Alignment, find_alignments
from finetune_trainer.data.lines import one_line, read_lines
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.rows import Malformed
from finetune_trainer.data.sampling import fixed_sample
from finetune_trainer.errors import BadData
from finetune_trainer.workspace.storage import local_path

_MOST_LINES = 3
"""Malformed ones that a message names."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def check_hypotheses(evaluate: Evaluate, data: PreparedData) -> None:
    """Refuse files that do not fit their test sets: prepare asks, hours before they are used.

    Raises:
        BadData: with the problems of all files at once.
    """
    tasks = {task.name: task for task in evaluate.tasks}
    files = [
        (f"spec.evaluate.rivals[{i}].hypotheses[{j}].uri", file)
        for i, rival in enumerate(evaluate.rivals or ())
        for j, file in enumerate(rival.hypotheses or ())
    ]

    def check(item: tuple[str, HypothesesFile]) -> None:
        field, file = item
        aligned_hypotheses(file, alignments_of(tasks[file.task], data), field)

    all_problems_at_once(check, files)


def alignments_of(task: EvaluationTask, data: PreparedData) -> tuple[Alignment, ...]:
    """How a file with a line a segment of the task may have been written."""
    split = data.pairs(task.source, "test")
    rows = fixed_sample(split.keys, task.max_segments)
    return find_alignments(split, rows, task.source, data.rows_read(task.source))


def aligned_hypotheses(file: HypothesesFile, alignments: Sequence[Alignment], field: str) -> list[str]:
    """The line of each segment.

    Raises:
        BadData: no file; lines that are no text; another number of lines than segments; nothing but empty lines.
    """
    path = local_path(file.uri, field)
    lines = _read(path, field)
    fitting = next((alignment for alignment in alignments if alignment.lines == len(lines)), None)
    if fitting is None:
        expected = " or ".join(f"{alignment.lines:,} ({alignment.meaning})" for alignment in alignments)
        raise BadData(
            "HypothesesDoNotFit",
            f"{field}: {path} has {len(lines):,} lines, task '{file.task}' expects {expected}",
            "Write one hypothesis a line, in the order of the test set, with an empty line for none.",
        )
    chosen = [lines[int(place)] for place in fitting.places]
    if not any(chosen):
        raise BadData(
            "HypothesesEmpty", f"{field}: {path} holds nothing but empty lines", "Give the file with the outputs."
        )
    return chosen


def _read(path: Path, field: str) -> list[str]:
    if not path.is_file():
        raise BadData("SourceNotFound", f"{field}: no such file: {path}", "Check the path; the trainer must see it.")
    lines = [line for _, line in read_lines(path)]
    malformed = [line for line in lines if isinstance(line, Malformed)]
    if malformed:
        named = "; ".join(f"{path}:{line.line} {line.reason}" for line in malformed[:_MOST_LINES])
        more = f"; {len(malformed) - _MOST_LINES:,} more" if len(malformed) > _MOST_LINES else ""
        raise BadData("MalformedRow", f"{field}: {named}{more}", "Save the file as UTF-8 text, a hypothesis a line.")
    return [one_line(line) for line in lines if isinstance(line, str)]


def all_problems_at_once(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The result of each item.

    Raises:
        BadData: with the messages and the remedies of all items that raise one.
    """
    results: list[Result] = []
    problems: list[BadData] = []
    for item in items:
        try:
            results.append(function(item))
        except BadData as error:
            problems.append(error)
    if problems:
        first = problems[0]
        remedies = dict.fromkeys(problem.remedy for problem in problems)
        raise BadData(first.reason, "; ".join(problem.message for problem in problems), " ".join(remedies))
    return results
