from __future__ import annotations

import numpy as np
import pytest

from finetune_api.figures import p_text
from finetune_trainer.metrics import bootstrap


def test_resamples_do_not_depend_on_how_many_are_held_at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = np.random.default_rng(0).random((37, 3))
    whole = bootstrap.resampled_sums(statistics, 100, 12345)
    monkeypatch.setattr(bootstrap, "_CHUNK_ELEMENTS", 37 * 7)
    assert np.allclose(whole, bootstrap.resampled_sums(statistics, 100, 12345))
    assert not np.allclose(whole, bootstrap.resampled_sums(statistics, 100, 12346))


def test_a_resample_draws_as_many_segments_as_there_are() -> None:
    assert np.array_equal(bootstrap.resampled_sums(np.ones((50, 1)), 20, 1), np.full((20, 1), 50.0))


def test_systems_side_by_side_share_resamples() -> None:
    column = np.random.default_rng(0).random((40, 1))
    sums = bootstrap.resampled_sums(np.hstack([column, 2 * column]), 30, 7)
    assert np.allclose(sums[:, 1], 2 * sums[:, 0])


def test_the_interval_holds_95_percent() -> None:
    assert bootstrap.confidence_interval(np.arange(1000.0)[::-1]) == (25.0, 974.0)


def test_p_is_the_share_of_resamples_in_which_the_winner_does_not_win() -> None:
    scores, baseline = np.array([3.0, 2.0, 1.0, 4.0]), np.array([1.0, 1.0, 1.0, 1.0])
    assert bootstrap.paired_p_value(scores, baseline, 2.0) == pytest.approx(2 / 5)
    assert bootstrap.paired_p_value(baseline, scores, -2.0) == pytest.approx(2 / 5)
    assert bootstrap.paired_p_value(scores, scores, 0.0) == 1.0


def test_p_for_people() -> None:
    assert [p_text(p) for p in (1 / 1001, 0.0312, 0.5, 1.0)] == ["p < 0.001", "p = 0.031", "p = 0.5", "p = 1"]
