"""Which examples share a row."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pack(lengths: Sequence[int] | NDArray[np.int64], rows: int, capacity: int) -> tuple[list[list[int]], list[int]]:
    """Put examples into `rows` rows of `capacity` tokens; returns (positions by row, positions left over).

    Best fit in the given order: each example goes into the fullest row that still holds it. Given in order of falling
    length this is best-fit decreasing; examples given first are served first.

    Raises:
        ValueError: if an example is longer than a row.
    """
    free: list[tuple[int, int]] = [(capacity, row) for row in range(rows)]  # sorted by (space left, row)
    packed: list[list[int]] = [[] for _ in range(rows)]
    left_over: list[int] = []
    for position, value in enumerate(lengths):
        length = int(value)
        if length > capacity:
            raise ValueError(f"an example of {length} tokens does not fit into a row of {capacity}")
        place = bisect_left(free, (length, -1))
        if place == len(free):
            left_over.append(position)
            continue
        space, row = free.pop(place)
        packed[row].append(position)
        if space > length:
            insort(free, (space - length, row))
    return packed, left_over
