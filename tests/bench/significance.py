"""How long the paired tests of a report take, beside sacrebleu's own on the same statistics.

    python tests/bench/significance.py [segments] [samples]

Both start from segment statistics of chrF++, BLEU and TER, and intervals or p-values are compared, too. sacrebleu keeps
all resamples of a metric at one time: 1 GB at 10,000 segments and 1,000 samples. Its randomisation makes no intervals,
which are here the bootstrap's, so that row is of unequal work.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from sacrebleu.metrics.base import Metric as SacrebleuMetric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import Result, _paired_ar_test, _paired_bs_test

from finetune_api.evaluate import Significance
from finetune_trainer.evaluation.scores import score_systems
from finetune_trainer.metrics import Statistics, create_metric

T = TypeVar("T")
OWN: dict[str, SacrebleuMetric] = {"chrF++": CHRF(word_order=2), "BLEU": BLEU(), "TER": TER()}
METHODS = {"PairedBootstrap": _paired_bs_test, "ApproximateRandomisation": _paired_ar_test}


def texts(count: int) -> tuple[list[str], list[str], list[str]]:
    """References and the outputs of two systems, of 4 to 24 words."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(1, 9))) for _ in range(3000)]
    references = [chance.choices(words, k=chance.randint(4, 24)) for _ in range(count)]

    def damaged(share: float) -> list[str]:
        return [" ".join(chance.choice(words) if chance.random() < share else w for w in r) for r in references]

    return [" ".join(reference) for reference in references], damaged(0.30), damaged(0.31)


def timed(function: Callable[[], T]) -> tuple[float, T]:
    began = time.monotonic()
    value = function()
    return time.monotonic() - began, value


def theirs(method: str, statistics: list[dict[str, Statistics]], samples: int) -> dict[str, Result]:
    """sacrebleu's test, given the statistics that it would compute itself at first."""

    class Ready:
        """A metric that has seen the outputs already."""

        def __init__(self, name: str) -> None:
            self._name, self._metric = name, OWN[name]

        def _extract_corpus_statistics(self, *_: object) -> list[list[float]]:
            found: list[list[float]] = statistics[0][self._name].tolist()
            return found

        def __getattr__(self, name: str) -> object:
            return getattr(self._metric, name)

    metrics: Any = {name: Ready(name) for name in OWN}
    before = {
        name: (
            statistics[1][name].tolist(),
            Result(OWN[name]._aggregate_and_compute(statistics[1][name].tolist()).score),
        )
        for name in OWN
    }
    hypotheses = [""] * len(statistics[0]["BLEU"])
    _, results = METHODS[method](before, "system", hypotheses, None, metrics, samples, seed=12345)
    return results


def main(segments: int = 10_000, samples: int = 1_000) -> None:
    written, *systems = texts(segments)
    references = [(reference,) for reference in written]
    seconds, statistics = timed(
        lambda: [{name: create_metric(name, "en").statistics(s, references) for name in OWN} for s in systems]
    )
    print(f"{segments:,} segments, {samples:,} samples, {len(OWN)} metrics; their statistics took {seconds:.1f} s\n")
    print("| test | sacrebleu, s | here, s | times | largest difference of intervals or p |")
    print("|---|---|---|---|---|")
    for method in METHODS:
        settings = Significance(samples=samples, method=method)  # type: ignore[arg-type]
        own_seconds, (scores, _) = timed(partial(score_systems, statistics[0], statistics[1], {}, "en", settings))
        their_seconds, results = timed(partial(theirs, method, statistics, samples))
        if method == "PairedBootstrap":
            gaps = [abs((score.high - score.low) / 2 - (results[score.metric].ci or 0.0)) for score in scores]
        else:
            gaps = [abs((score.p_value or 0) - (results[score.metric].p_value or 0.0)) for score in scores]
        times = their_seconds / own_seconds
        print(f"| {method} | {their_seconds:.2f} | {own_seconds:.2f} | {times:.1f} | {np.max(gaps):.2g} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
