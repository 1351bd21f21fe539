"""sacrebleu's corpus metrics, by the names of the API.

The two private calls are those that sacrebleu's own significance tests are made of; there is no public way to the
statistics. A test compares with its command line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics import base, bleu, chrf, ter

from finetune_trainer.metrics.interface import Metric, Statistics

_BLEU_TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char", "lo": "char", "km": "char", "my": "char"}
"""Languages written without blanks (or that need a morphological analyser); all others 13a, as sacrebleu does."""
DEFAULT_TOKENIZER = "13a"


class SacrebleuMetric(Metric):
    """Wraps one of sacrebleu's metrics, with one reference a segment."""

    def __init__(self, metric: base.Metric, flags: str) -> None:
        """`flags` ask sacrebleu's command line for the same."""
        self._metric = metric
        self._flags = flags

    def statistics(self, outputs: Sequence[str], references: Sequence[str]) -> Statistics:
        """See Metric."""
        rows = self._metric._extract_corpus_statistics(list(outputs), [list(references)])  # noqa: SLF001
        return np.array(rows, np.float64)

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        """See Metric."""
        return float(self._metric._compute_score_from_stats(sums.tolist()).score)  # noqa: SLF001

    @property
    def signature(self) -> str:
        """See Metric: `nrefs:1|case:mixed|...|version:2.6.0`."""
        self._metric.num_refs = 1  # what sacrebleu notes down when it reads references
        return str(self._metric.get_signature())

    def command(self, tsv: str, signature: str) -> str:  # noqa: ARG002 - see Bleu
        """See Metric."""
        columns = f"<(tail -n +2 {tsv} | cut -f 2) -i <(tail -n +2 {tsv} | cut -f 3)"
        return f"sacrebleu {columns} {self._flags} -b -w 4"


class Bleu(SacrebleuMetric):
    """BLEU (Papineni et al. 2002)."""

    def __init__(self, language: str) -> None:
        """`language` decides the tokeniser."""
        tokenizer = _BLEU_TOKENIZERS.get(language.split("-", maxsplit=1)[0], DEFAULT_TOKENIZER)
        super().__init__(bleu.BLEU(tokenize=tokenizer), "-m bleu")

    def command(self, tsv: str, signature: str) -> str:
        """See Metric."""
        tokenizer = next((part[4:] for part in signature.split("|") if part.startswith("tok:")), DEFAULT_TOKENIZER)
        return super().command(tsv, signature) + ("" if tokenizer == DEFAULT_TOKENIZER else f" -tok {tokenizer}")


class ChrF(SacrebleuMetric):
    """chrF (Popović 2015)."""

    def __init__(self, _: str) -> None:
        super().__init__(chrf.CHRF(), "-m chrf")


class ChrFPlusPlus(SacrebleuMetric):
    """chrF++ (Popović 2017)."""

    def __init__(self, _: str) -> None:
        super().__init__(chrf.CHRF(word_order=2), "-m chrf --chrf-word-order 2")


class Ter(SacrebleuMetric):
    """Translation edit rate (Snover et al. 2006)."""

    def __init__(self, _: str) -> None:
        super().__init__(ter.TER(), "-m ter")
