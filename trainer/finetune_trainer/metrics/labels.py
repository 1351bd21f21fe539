"""Scores of labels: what a text is, as one label or as several with | between them.

Definitions are scikit-learn's, in percent, over the labels that the references have; what is 0 / 0 counts as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from finetune_trainer.metrics.interface import Alternatives, Metric, Statistics

SEPARATOR = "|"
Floats = npt.NDArray[np.float64]


def label_set(text: str) -> set[str]:
    """The labels of an answer; none of an empty one."""
    return set(text.split(SEPARATOR)) if text else set()


class Accuracy(Metric):
    """Percent of the texts whose labels are all right and no others; statistics are (right, 1) of each text."""

    def __init__(self, _: str) -> None:
        pass

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:
        """See Metric."""
        pairs = zip(outputs, references, strict=True)
        rows = [[float(label_set(output) == label_set(reference)), 1.0] for output, (reference,) in pairs]
        return np.array(rows, np.float64).reshape(-1, 2)

    def score(self, sums: Floats) -> float:
        """See Metric."""
        right, count = sums
        return float(100.0 * right / count) if count else 0.0


class _F1(Metric):
    """F1 by label; statistics are, of each text, what was found, what was not, and what was wrongly said.

    (texts, 3 x labels + 1): true positives, false negatives and false positives of each label that the references
    have, in their order, then false positives of all other labels.
    """

    is_local = False

    def __init__(self, _: str) -> None:
        pass

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:
        """See Metric."""
        wanted, said = [label_set(only) for (only,) in references], [label_set(text) for text in outputs]
        place = {label: i for i, label in enumerate(sorted(set().union(*wanted)))}
        count = len(place)
        rows = np.zeros((len(wanted), 3 * count + 1), np.float64)
        for row, right, found in zip(rows, wanted, said, strict=True):
            row[[place[label] for label in right & found]] = 1.0
            row[[count + place[label] for label in right - found]] = 1.0
            for label in found - right:
                row[2 * count + place.get(label, count)] += 1.0
        return rows

    def score(self, sums: Floats) -> float:
        """See Metric."""
        found, lost, wrong = np.split(sums[:-1], 3)
        return float(100.0 * self.mean(found, lost, wrong, float(sums[-1])))

    def mean(self, found: Floats, lost: Floats, wrong: Floats, others: float) -> float:
        """0 to 1, from counts by label and wrong answers of labels that the references do not have."""
        raise NotImplementedError

    @property
    def signature(self) -> str:
        """See Metric."""
        return f"average:{type(self).__name__.removesuffix('F1').lower()}|labels:references|zero:0"


class MacroF1(_F1):
    """Mean over the labels, each with the same weight; of a resample over those that it has."""

    def mean(self, found: Floats, lost: Floats, wrong: Floats, others: float) -> float:  # noqa: ARG002 - see _F1
        """See _F1."""
        there = found + lost > 0
        return float(_f1(found, lost, wrong)[there].mean()) if there.any() else 0.0


class WeightedF1(_F1):
    """Mean over the labels, each with the weight of its texts."""

    def mean(self, found: Floats, lost: Floats, wrong: Floats, others: float) -> float:  # noqa: ARG002 - see _F1
        """See _F1."""
        support = found + lost
        return float((_f1(found, lost, wrong) * support).sum() / support.sum()) if support.any() else 0.0


class MicroF1(_F1):
    """F1 of all labels together; of one label a text it is the accuracy."""

    def mean(self, found: Floats, lost: Floats, wrong: Floats, others: float) -> float:
        """See _F1."""
        totals = (np.array([part.sum()]) for part in (found, lost, np.append(wrong, others)))
        return float(_f1(*totals)[0])


def _f1(found: Floats, lost: Floats, wrong: Floats) -> Floats:
    """2 TP / (2 TP + FN + FP)."""
    twice = 2.0 * found
    whole = twice + lost + wrong
    return np.divide(twice, whole, out=np.zeros_like(twice), where=whole > 0)
