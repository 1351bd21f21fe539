from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.batching.order import EpochOrder
from finetune_trainer.hashing import keyed_uniform


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**31), epoch=st.integers(0, 5))
def test_every_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    samples = EpochOrder(seed, "arm", size)[epoch * size : (epoch + 1) * size]
    assert sorted(samples.tolist()) == list(range(size))


@given(size=st.integers(1, 200), start=st.integers(0, 1000), length=st.integers(0, 500))
def test_any_part_is_found_without_what_is_before_it(size: int, start: int, length: int) -> None:
    order = EpochOrder(5, "arm", size)
    assert order[start : start + length].tolist() == order[0 : start + length].tolist()[start:]


def test_epochs_seeds_and_arms_differ() -> None:
    size = 1000
    orders = [
        EpochOrder(1, "a", size)[0:size],
        EpochOrder(1, "a", size)[size : 2 * size],
        EpochOrder(2, "a", size)[0:size],
        EpochOrder(1, "b", size)[0:size],
        np.arange(size),
    ]
    for index, one in enumerate(orders):
        for other in orders[index + 1 :]:
            assert np.mean(one == other) < 0.02


def test_order_looks_random() -> None:
    samples = EpochOrder(7, "arm", 10_000)[0:10_000]
    assert abs(np.corrcoef(np.arange(10_000), samples)[0, 1]) < 0.05
    assert abs(np.corrcoef(samples[:-1], samples[1:])[0, 1]) < 0.05


def test_large_orders_need_no_memory() -> None:
    samples = EpochOrder(7, "arm", 10**11)[10**10 : 10**10 + 1000]
    assert len(np.unique(samples)) == 1000
    assert samples.max() < 10**11


def test_uniform_is_uniform_and_repeatable() -> None:
    values = [keyed_uniform(f"3/arm/{step}") for step in range(4000)]
    assert values == [keyed_uniform(f"3/arm/{step}") for step in range(4000)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)
    assert 0.0 <= min(values) <= max(values) < 1.0


def test_an_empty_order_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        EpochOrder(1, "arm", 0)
