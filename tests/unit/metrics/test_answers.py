"""ExactMatch and TokenF1: worked by hand after SQuAD's evaluation script."""

from __future__ import annotations

import numpy as np
import pytest

from finetune_trainer.metrics import create_metric


def scores(output: str, reference: str, language: str = "en") -> list[float]:
    metrics = [create_metric(name, language) for name in ("ExactMatch", "TokenF1")]
    return [metric.score(metric.statistics([output], [(reference,)]).sum(0)) for metric in metrics]


@pytest.mark.parametrize(
    ("output", "reference", "language", "exact", "f1"),
    [
        ("The  Eiffel Tower!", "eiffel tower", "en", 100.0, 100.0),
        ("an Apple-pie", "applepie", "en", 100.0, 100.0),
        ("in the Paris region", "Paris", "en", 0.0, 50.0),  # 1 of 3, 1 of 1
        ("to be to", "to to to be", "en", 0.0, 100 * 6 / 7),  # shared: to twice, be
        ("Rome", "Paris", "en", 0.0, 0.0),
        ("", "Paris", "en", 0.0, 0.0),
        ("the", "a", "en", 100.0, 100.0),  # nothing is left of either
        ("¿la casa?", "casa", "es", 0.0, 100 * 2 / 3),
        ("a casa", "casa", "pt", 0.0, 100 * 2 / 3),  # no article of English
        ("$5 million", "5 million", "en", 100.0, 100.0),
        ("€5", "5", "en", 0.0, 0.0),
        ("北京市", "北京", "zh", 0.0, 80.0),  # characters: 2 of 3, 2 of 2
        ("theatre", "atre", "en", 0.0, 0.0),
    ],
)
def test_normalisation_and_overlap(output: str, reference: str, language: str, exact: float, f1: float) -> None:
    assert scores(output, reference, language) == pytest.approx([exact, f1])


def test_statistics_add_up_to_the_mean_over_answers() -> None:
    metric = create_metric("TokenF1", "")
    statistics = metric.statistics(["a b", "c", "d"], [("a b",), ("x",), ("d e",)])
    assert statistics.shape == (3, 2)
    assert metric.score(statistics.sum(0)) == pytest.approx(100 * (1 + 0 + 2 / 3) / 3)
    assert metric.statistics([], []).shape == (0, 2)
    assert metric.score(np.zeros(2)) == 0.0
    assert create_metric("ExactMatch", "zh").signature == "norm:squad|articles:kept|tok:char"


def test_of_several_references_the_nearest_counts() -> None:
    """Each metric takes its own maximum; an unanswerable question has the empty answer as its only reference."""
    references = [("Denver Broncos", "the Broncos of Denver"), ("1914", "in the year 1914"), ("",), ("",), ("Rome", "")]
    outputs = ["Broncos", "the year 1914!", "", "nothing", "Paris"]
    exact, overlap = (create_metric(name, "en").statistics(outputs, references) for name in ("ExactMatch", "TokenF1"))
    assert exact[:, 0].tolist() == [0, 0, 1, 0, 0]
    assert overlap[:, 0] == pytest.approx([2 / 3, 2 * 1 * (2 / 3) / (1 + 2 / 3), 1, 0, 0])
    assert create_metric("ExactMatch", "en").statistics(["the Broncos of Denver."], references[:1])[0, 0] == 1
