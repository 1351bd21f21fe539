from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.batching.packing import pack


@given(lengths=st.lists(st.integers(1, 32), max_size=200), rows=st.integers(1, 20))
def test_every_example_is_in_one_row_or_left_over(lengths: list[int], rows: int) -> None:
    packed, left_over = pack(lengths, rows, 32)
    assert sorted([i for row in packed for i in row] + left_over) == list(range(len(lengths)))
    assert len(packed) == rows
    assert all(sum(lengths[i] for i in row) <= 32 for row in packed)


@given(lengths=st.lists(st.integers(1, 32), max_size=200), rows=st.integers(1, 20))
def test_nothing_that_still_fits_is_left_over(lengths: list[int], rows: int) -> None:
    packed, left_over = pack(lengths, rows, 32)
    space = max(32 - sum(lengths[i] for i in row) for row in packed)
    assert all(lengths[i] > space for i in left_over)


@pytest.mark.parametrize(("mean", "capacity", "rows"), [(22, 128, 32), (22, 256, 8), (45, 128, 32), (120, 1024, 16)])
def test_realistic_lengths_fill_98_percent(mean: int, capacity: int, rows: int) -> None:
    generator = np.random.default_rng(1)
    lengths = np.clip(generator.gamma(2.0, mean / 2.0, 4 * rows * capacity // mean), 3, capacity).astype(np.int64)
    lengths = np.sort(lengths[: int(np.searchsorted(np.cumsum(lengths), 1.25 * rows * capacity))])[::-1]
    packed, _ = pack(lengths, rows, capacity)
    assert sum(int(lengths[i]) for row in packed for i in row) >= 0.98 * rows * capacity


def test_first_come_first_served() -> None:
    packed, left_over = pack([3, 5, 8], 1, 8)
    assert (packed, left_over) == ([[0, 1]], [2])


def test_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match="33 tokens does not fit"):
        pack([33], 1, 32)
