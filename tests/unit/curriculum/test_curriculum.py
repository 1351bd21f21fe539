from __future__ import annotations

import json
import math
from collections import Counter

import pytest

from finetune_api.training import Curriculum as Settings
from finetune_trainer.curriculum import ArmFacts, Curriculum, Feedback, choose, create_curriculum
from finetune_trainer.hashing import keyed_uniform

FAIR = Settings(strategy="FAIR", smoothing=0.9, exploration=0.0)


def curriculum(settings: Settings, **weights: float) -> Curriculum:
    return create_curriculum(settings, {arm: ArmFacts(weight, 10, 100) for arm, weight in weights.items()})


def reward(of: Curriculum, arm: str, value: float | None) -> None:
    of.observe(Feedback(arm, 2.0, value))


def test_fair_follows_the_moving_average_of_the_rewards() -> None:
    """m = (0.1, 0.1), reward 0.5 for arm 0: m0 = 0.9 x 0.1 + 0.1 x 0.5 = 0.14, p = (0.58333, 0.41667)."""
    fair = curriculum(FAIR, a=1.0, b=1.0)
    reward(fair, "a", 0.1)
    reward(fair, "b", 0.1)
    reward(fair, "a", 0.5)
    assert fair.rewards() == pytest.approx({"a": 0.14, "b": 0.1})
    assert fair.probabilities() == pytest.approx({"a": 0.58333, "b": 0.41667}, abs=1e-5)


def test_fair_explores() -> None:
    fair = curriculum(FAIR.model_copy(update={"exploration": 0.2}), a=1.0, b=1.0, c=1.0, d=1.0)
    for arm in "abcd":
        reward(fair, arm, 1.0 if arm == "a" else 0.0)
    probabilities = fair.probabilities()
    assert probabilities["b"] == pytest.approx(0.05, abs=1e-5)
    assert sum(probabilities.values()) == pytest.approx(1.0)


def test_fair_starts_with_the_weights_whatever_the_scale_of_the_rewards() -> None:
    fair = curriculum(FAIR, a=3.0, b=1.0)
    assert fair.probabilities() == pytest.approx({"a": 0.75, "b": 0.25})
    for scale in (1e-3, 1e3):
        started = curriculum(FAIR, a=1.0, b=1.0)
        reward(started, "a", scale)
        assert started.probabilities() == pytest.approx({"a": 0.5, "b": 0.5})


@pytest.mark.parametrize("value", [-5.0, 0.0])
def test_fair_floors_rewards_that_are_not_positive(value: float) -> None:
    fair = curriculum(FAIR, a=1.0, b=1.0)
    reward(fair, "a", value)
    reward(fair, "b", 1.0)
    assert 0.0 < fair.probabilities()["a"] < 1e-5


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_fair_ignores_rewards_that_are_not_numbers(value: float) -> None:
    fair = curriculum(FAIR, a=1.0, b=1.0)
    reward(fair, "a", value)
    assert fair.rewards() == {}


def test_fair_survives_a_restart() -> None:
    fair = curriculum(FAIR, a=1.0, b=2.0)
    for index in range(20):
        reward(fair, "ab"[index % 2], 0.1 * index)
    again = curriculum(FAIR, a=1.0, b=2.0)
    again.load_state_dict(json.loads(json.dumps(fair.state_dict())))
    assert again.probabilities() == fair.probabilities()


def test_fixed_keeps_its_weights() -> None:
    fixed = curriculum(Settings(strategy="Fixed"), a=3.0, b=1.0)
    reward(fixed, "b", 100.0)
    assert fixed.probabilities() == {"a": 0.75, "b": 0.25}
    assert not fixed.learns


def test_arms_are_drawn_in_proportion() -> None:
    fixed = curriculum(Settings(strategy="Fixed"), a=3.0, b=1.0)
    counts = Counter(choose(fixed, keyed_uniform(f"1/arm/{step}")) for step in range(4000))
    assert counts["a"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert choose(fixed, 0.9999999999999999) == "b"


def test_a_step_without_a_probe_says_nothing_of_rewards() -> None:
    fair = curriculum(FAIR, a=1.0, b=1.0)
    reward(fair, "a", None)
    assert fair.rewards() == {}
