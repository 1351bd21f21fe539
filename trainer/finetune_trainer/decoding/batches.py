"""Which prompts share a batch, and which parts of a batch are read at once."""

from __future__ import annotations

from collections.abc import Sequence

FEW_ROWS = 32
"""Fewer do not keep a processor busy, so they may differ in length as they like."""


def cut_batches(lengths: Sequence[int], rooms: Sequence[int], capacity: int, most_rows: int) -> list[slice]:
    """Cut prompts, the longest first, into batches.

    A batch takes rows x (its longest prompt + its longest output) tokens of the cache, `capacity` at most (one row is
    always taken). Once it has some rows, it takes no prompt of less than half of its first one's length.
    """
    batches, start, longest_room = [], 0, 0
    for row, (length, room) in enumerate(zip(lengths, rooms, strict=True)):
        longest_room = max(longest_room, room)
        rows = row - start
        full = rows >= most_rows or (rows + 1) * (lengths[start] + longest_room) > capacity
        if rows > 0 and (full or (rows >= FEW_ROWS and 2 * length < lengths[start])):
            batches.append(slice(start, row))
            start, longest_room = row, room
    if len(lengths) > start:
        batches.append(slice(start, len(lengths)))
    return batches


def cut_equal(lengths: Sequence[int], most_rows: int) -> list[slice]:
    """Cut prompts, ordered by length, into batches of one length each."""
    batches, start = [], 0
    for row in range(1, len(lengths) + 1):
        if row == len(lengths) or lengths[row] != lengths[start] or row - start == most_rows:
            batches.append(slice(start, row))
            start = row
    return batches
