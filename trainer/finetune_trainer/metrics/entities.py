"""Scores of tags, one a word with blanks between them: entities as seqeval has them, strictly by IOB2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from finetune_trainer.metrics.interface import Alternatives, Metric, Statistics

Entity = tuple[str, int, int]
"""Type, first word, and the word after the last."""


def entities(tags: Sequence[str]) -> set[Entity]:
    """Entities of a sentence: each begins with B; an I that goes on nothing of its type is none."""
    found: set[Entity] = set()
    kind, start = "", 0
    for place, tag in enumerate([*tags, "O"]):
        if kind and tag != f"I-{kind}":
            found.add((kind, start, place))
            kind = ""
        if tag.startswith("B-"):
            kind, start = tag[2:], place
    return found


class EntityF1(Metric):
    """Percent; an entity is right if its type and both of its ends are. Statistics are (right, said, wanted)."""

    def __init__(self, _: str) -> None:
        pass

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:
        """See Metric."""
        rows = []
        for output, (reference,) in zip(outputs, references, strict=True):
            said, wanted = entities(output.split()), entities(reference.split())
            rows.append([len(said & wanted), len(said), len(wanted)])
        return np.array(rows, np.float64).reshape(-1, 3)

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        """See Metric: F1 of all entities together."""
        right, said, wanted = sums
        return float(200.0 * right / (said + wanted)) if said + wanted else 0.0

    @property
    def signature(self) -> str:
        """See Metric."""
        return "scheme:IOB2|mode:strict|average:micro"


class TokenAccuracy(Metric):
    """Percent of the words whose tag is right; statistics are (right, words) of each sentence."""

    def __init__(self, _: str) -> None:
        pass

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:
        """See Metric; a tag that is not given is not right."""
        rows = []
        for output, (reference,) in zip(outputs, references, strict=True):
            said, wanted = output.split(), reference.split()
            rows.append([sum(a == b for a, b in zip(said, wanted, strict=False)), len(wanted)])
        return np.array(rows, np.float64).reshape(-1, 2)

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        """See Metric."""
        right, count = sums
        return float(100.0 * right / count) if count else 0.0
