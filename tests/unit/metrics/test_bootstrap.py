from __future__ import annotations

import numpy as np
import pytest

from finetune_api.evaluate import Significance
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


def test_p_is_twice_the_share_of_resamples_in_which_the_winner_does_not_win() -> None:
    differences = np.array([2.0, 1.0, 0.0, 3.0])
    assert bootstrap.paired_p_value(differences, 2.0) == pytest.approx(2 * 2 / 5)
    assert bootstrap.paired_p_value(-differences, -2.0) == pytest.approx(2 * 2 / 5)
    assert bootstrap.paired_p_value(np.array([2.0, -1.0, -1.0]), 0.5) == 1.0
    assert bootstrap.paired_p_value(0 * differences, 0.0) == 1.0


def test_the_smallest_p_is_that_of_a_winner_of_every_resample() -> None:
    assert bootstrap.paired_p_value(np.full(1000, 3.0), 3.0) == Significance().smallest_p_value == 2 / 1001


def test_p_is_that_of_the_bootstrap_recipe_by_hand() -> None:
    """Segments resampled one by one, the difference of means, both tails."""
    chance = np.random.default_rng(3)
    gains = chance.normal(0.25, 1.0, 60)
    drawn = np.random.default_rng(12345).choice(60, size=(1000, 60), replace=True)
    means = np.array([gains[rows].mean() for rows in drawn])
    by_hand = min(1.0, 2 * (1 + sum(1 for mean in means if mean <= 0)) / 1001)
    sums = bootstrap.resampled_sums(gains[:, None], 1000, 12345)[:, 0]
    assert 0.01 < by_hand < 0.9
    assert bootstrap.paired_p_value(sums, float(gains.sum())) == pytest.approx(by_hand)


@pytest.mark.parametrize("shift", np.linspace(0.0, 0.6, 13))
def test_p_and_the_interval_of_the_difference_do_not_contradict_each_other(shift: float) -> None:
    gains = np.random.default_rng(5).normal(shift, 1.0, (50, 1))
    sums = bootstrap.resampled_sums(gains, 2000, 1)[:, 0]
    low, high = bootstrap.confidence_interval(sums)
    assert (bootstrap.paired_p_value(sums, float(gains.sum())) < 0.05) == (low > 0 or high < 0)


def test_p_for_people() -> None:
    assert [p_text(p) for p in (1 / 1001, 0.0312, 0.5, 1.0)] == ["p < 0.001", "p = 0.031", "p = 0.5", "p = 1"]
