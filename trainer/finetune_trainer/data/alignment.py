"""Which line of a file that was written elsewhere belongs to which segment of a test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.prepared import PairSplit


@dataclass(frozen=True, slots=True)
class Alignment:
    """One way to write a line a segment."""

    lines: int
    """That such a file has."""
    meaning: str
    """What a line is: rows of source 'bench'."""
    places: NDArray[np.int64]
    """(segments,): line of each segment, from 0."""


def find_alignments(
    split: PairSplit, rows: NDArray[np.int64], source: str, rows_read: int | None
) -> tuple[Alignment, ...]:
    """Every way, the longest file first; two of equal length are one and the same.

    Args:
        split: that is tested on.
        rows: of the split that are scored, in their order.
        source: name of the source.
        rows_read: rows of the source before cleaning, None if nobody knows.
    """
    found = []
    if split.numbers is not None and rows_read is not None:
        found.append(Alignment(rows_read, f"rows of source '{source}'", split.numbers[rows] - 1))
    found.append(Alignment(len(split), "segments of the test set", rows))
    found.append(Alignment(len(rows), "segments that are scored", np.arange(len(rows), dtype=np.int64)))
    return tuple({alignment.lines: alignment for alignment in reversed(found)}.values())[::-1]
