"""Approximate randomisation against sacrebleu's own, trial by trial and on whole corpora."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest, Result

from finetune_api.evaluate import Significance
from finetune_trainer.evaluation.scores import score_systems
from finetune_trainer.metrics import create_metric, randomisation
from unit.evaluation.samples import alone, corpus, damage

NAMES = {"chrF++": "chrF2++", "BLEU": "BLEU", "TER": "TER"}
"""What sacrebleu calls them."""


@pytest.mark.parametrize(("damaged", "baseline_damaged"), [(0.3, 0.34), (0.40, 0.41), (0.5, 0.2)])
def test_p_values_are_those_of_sacrebleu(damaged: float, baseline_damaged: float) -> None:
    _, references = corpus(90)
    hypotheses, baseline = damage(references, damaged, 1), damage(references, baseline_damaged, 2)
    theirs = PairedTest(
        [("baseline", baseline), ("system", hypotheses)],
        {"chrF2++": CHRF(word_order=2), "BLEU": BLEU(), "TER": TER()},
        [references], test_type="ar", n_samples=500,
    )()[1]  # fmt: skip
    statistics = [
        {name: create_metric(name, "es").statistics(texts, alone(references)) for name in NAMES}
        for texts in (hypotheses, baseline)
    ]
    settings = Significance(method="ApproximateRandomisation", samples=500)
    scores, rivals = score_systems(statistics[0], statistics[1], {"again": statistics[1]}, "es", settings)
    for score, rival in zip(scores, rivals["again"], strict=True):
        result = theirs[NAMES[score.metric]][1]
        assert isinstance(result, Result)
        assert score.score == pytest.approx(result.score)
        assert score.p_value == rival.p_value == pytest.approx(result.p_value, abs=1e-12)


def test_trials_do_not_depend_on_how_many_are_held_at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    first, second = chance.integers(0, 9, (37, 3)).astype(float), chance.integers(0, 9, (37, 3)).astype(float)
    whole = randomisation.swapped_sums(first, second, 100, 12345)
    monkeypatch.setattr(randomisation, "_CHUNK_ELEMENTS", 37 * 40)
    parts = randomisation.swapped_sums(first, second, 100, 12345)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert np.array_equal(whole[0] + whole[1], np.tile(first.sum(0) + second.sum(0), (100, 1)))


def test_p_counts_trials_that_differ_more() -> None:
    differences = np.array([2.0, -3.0, 0.5, 1.0])
    assert randomisation.randomisation_p_value(differences, 1.0) == pytest.approx(3 / 5)
    assert randomisation.randomisation_p_value(differences, -1.0) == pytest.approx(3 / 5)
    assert randomisation.randomisation_p_value(differences, 9.0) == 1 / 5
    assert randomisation.randomisation_p_value(differences, 0.0) == 1.0
    assert Significance(method="ApproximateRandomisation", samples=999).smallest_p_value == 1 / 1000
