"""The labels of prepared data: counted by split, and refused where training has never seen what is tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from finetune_api.job import FineTuneJobSpec
from finetune_api.registries import TASKS
from finetune_trainer.data.prepared import SPLITS, TextSplit
from finetune_trainer.data.staging import StagedSource
from finetune_trainer.data.stored import STORED
from finetune_trainer.errors import BadData, raise_together

LabelCounts = Mapping[str, Mapping[str, int]]
"""Rows by split and label."""
_NAMED = 10
"""Labels of one message."""


def count_labels(folder: Path, staged: StagedSource) -> dict[str, dict[str, int]] | None:
    """Rows of a source by split and label, from its splits in `folder`; None where its rows have no labels."""
    source = staged.source
    kind = STORED.get(source.type)
    if kind is None or kind.labels is None:
        return None
    counts: dict[str, dict[str, int]] = {}
    for name in SPLITS:
        rows = TextSplit(folder / name, source.languages[0]).text
        found = Counter(label for row in rows for label in dict.fromkeys(kind.labels(row)))
        counts[name] = dict(sorted(found.items()))
    return counts


def check_labels(spec: FineTuneJobSpec, staged: Sequence[StagedSource], counts: Mapping[str, LabelCounts]) -> None:
    """Refuse labels from which nothing can be learned, and labels of tests that nobody could have learned.

    Args:
        spec: of the job.
        staged: the sources.
        counts: of the sources with labels, by name.

    Raises:
        BadData: with all problems at once.
    """
    adapt = spec.adapt
    if adapt is None or adapt.task.source not in counts:
        return
    by_name = {item.source.name: item for item in staged}
    trained = by_name[adapt.task.source]
    known = counts[adapt.task.source]["train"]
    problems = list(_too_few(trained, known))
    tested = [test.source for test in (spec.evaluate.tasks if spec.evaluate else ())]
    for name in dict.fromkeys([adapt.task.source, *tested]):
        if name in counts and by_name[name].source.type == TASKS[adapt.task.type].source_type:
            problems += _unseen(by_name[name], counts[name], trained.source.name, known)
    raise_together(problems)


def _too_few(trained: StagedSource, known: Mapping[str, int]) -> Iterator[BadData]:
    enough = 1 if trained.source.has_label_sets or trained.source.type == "CoNLL" else 2
    if len(known) < enough:
        only = f"the label {next(iter(known))} alone" if known else "no label at all"
        yield BadData(
            "TooFewLabels",
            f"source '{trained.source.name}': its training split has {only}: there is nothing to tell apart",
            "Give rows with other labels, or lower data.split.",
        )


def _unseen(tested: StagedSource, counts: LabelCounts, trained: str, known: Mapping[str, int]) -> Iterator[BadData]:
    for split in SPLITS[1:]:
        unseen = {label: rows for label, rows in counts[split].items() if label not in known}
        if not unseen:
            continue
        named = [f"{label} ({tested.tally.labels.get(label, '?')})" for label in list(unseen)[:_NAMED]]
        more = f" and {len(unseen) - _NAMED} more" if len(unseen) > _NAMED else ""
        rows = sum(unseen.values())
        yield BadData(
            "UnseenLabels",
            f"source '{tested.source.name}': {rows:,} row{'' if rows == 1 else 's'} of its {split} split "
            f"{'has a label' if rows == 1 else 'have labels'} that the training split of '{trained}' has not: "
            f"{', '.join(named)}{more}",
            "Give training rows with these labels, or rename or remove them.",
        )
