"""Precision, recall and F1 by class, and which label is taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from finetune_api.report import ClassReport, Confusion

Said = TypeVar("Said", bound=Hashable)


def class_reports(
    references: Sequence[set[Said]], outputs: Sequence[set[Said]], name: Callable[[Any], str] = str
) -> list[ClassReport]:
    """Figures by class, of what each text is and what is said of it; the most frequent class first.

    P = TP / (TP + FP), R = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN); 0 / 0 is 0, as in scikit-learn.

    Args:
        references: of each text.
        outputs: of each text.
        name: of the class of a member.
    """
    right, said, wanted = Counter[str](), Counter[str](), Counter[str]()
    for reference, output in zip(references, outputs, strict=True):
        right.update(map(name, reference & output))
        said.update(map(name, output))
        wanted.update(map(name, reference))
    order = sorted(said.keys() | wanted.keys(), key=lambda label: (-wanted[label], label))
    return [
        ClassReport(
            name=label,
            precision=_share(right[label], said[label]),
            recall=_share(right[label], wanted[label]),
            f1=_share(2 * right[label], said[label] + wanted[label]),
            support=wanted[label],
            predicted=said[label],
        )
        for label in order
    ]


def confusion(references: Sequence[str], outputs: Sequence[str]) -> Confusion:
    """How often each label is said of texts with each label."""
    pairs = Counter(zip(references, outputs, strict=True))
    labels = sorted({label for pair in pairs for label in pair})
    return Confusion(labels=labels, counts=[[pairs[row, column] for column in labels] for row in labels])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
