"""The corpus metrics: sacrebleu's, by the names of the API. Statistics of segments add up to those of a corpus.

The two private calls are those that sacrebleu's own significance tests are made of; there is no public way to the
statistics. A test compares with its command line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

Statistics = npt.NDArray[np.float64]
"""(N segments, K) additive sufficient statistics of one metric; K differs by metric."""

LOWER_IS_BETTER = frozenset({"TER"})
_BLEU_TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char", "lo": "char", "km": "char", "my": "char"}
"""Languages written without blanks (or that need a morphological analyser); all others 13a, as sacrebleu does."""


def create_metric(name: str, target_language: str) -> Metric:
    """The metric of that name (BLEU, chrF, chrF++, TER).

    Raises:
        ValueError: for another name.
    """
    match name:
        case "BLEU":
            language = target_language.split("-", maxsplit=1)[0]
            return BLEU(tokenize=_BLEU_TOKENIZERS.get(language, "13a"))
        case "chrF":
            return CHRF()
        case "chrF++":
            return CHRF(word_order=2)
        case "TER":
            return TER()
    raise ValueError(f"{name} is not a translation metric")


def segment_statistics(metric: Metric, hypotheses: Sequence[str], references: Sequence[str]) -> Statistics:
    """One row per segment, with one reference each."""
    rows = metric._extract_corpus_statistics(list(hypotheses), [list(references)])  # noqa: SLF001
    return np.array(rows, np.float64)


def score_of(metric: Metric, sums: npt.NDArray[np.float64]) -> float:
    """The score for added statistics (K,), on the metric's own scale."""
    return float(metric._compute_score_from_stats(sums.tolist()).score)  # noqa: SLF001


def signature(metric: Metric) -> str:
    """What is needed to repeat the figure: `nrefs:1|case:mixed|...|version:2.6.0`."""
    metric.num_refs = 1  # what sacrebleu notes down when it reads references
    return str(metric.get_signature())
