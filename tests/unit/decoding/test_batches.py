"""Batches by memory and length."""

from __future__ import annotations

from finetune_trainer.decoding.batches import FEW_ROWS, cut_batches, cut_equal


def test_a_batch_takes_what_the_cache_holds() -> None:
    # rows x (10 + 5) tokens: 15, 30; a third would be 45
    assert cut_batches([10, 10, 8, 2], [5, 5, 5, 5], 44, 100) == [slice(0, 2), slice(2, 4)]
    assert cut_batches([10, 10, 8, 2], [5, 5, 5, 5], 45, 100) == [slice(0, 3), slice(3, 4)]


def test_the_longest_output_counts_for_all_rows() -> None:
    # a context of 12: the shorter the prompt, the more room; 3 x (10 + 4) = 42
    assert cut_batches([10, 9, 8], [2, 3, 4], 41, 100) == [slice(0, 2), slice(2, 3)]


def test_one_row_is_always_taken_and_no_more_than_asked() -> None:
    assert cut_batches([50, 40], [9, 9], 1, 100) == [slice(0, 1), slice(1, 2)]
    assert cut_batches([5] * 5, [1] * 5, 10**9, 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert cut_batches([], [], 100, 2) == []


def test_much_shorter_prompts_start_a_batch_once_one_has_some_rows() -> None:
    assert cut_batches([40, 10], [1, 1], 10**9, 100) == [slice(0, 2)]
    lengths = [40] * FEW_ROWS + [20, 19, 19]
    assert cut_batches(lengths, [1] * len(lengths), 10**9, 100) == [slice(0, FEW_ROWS + 1), slice(FEW_ROWS + 1, 35)]


def test_equal_lengths_only() -> None:
    assert cut_equal([9, 9, 9, 4, 4, 1], 2) == [slice(0, 2), slice(2, 3), slice(3, 5), slice(5, 6)]
    assert cut_equal([], 2) == []
