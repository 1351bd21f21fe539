"""sacrebleu's corpus metrics, by the names of the API.

The two private calls are those that sacrebleu's own significance tests are made of; there is no public way to the
statistics. A test compares with its command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics import base, bleu, chrf, ter

from finetune_api.languages import UNSPACED_SCRIPTS, normalise_language, writes_blanks
from finetune_trainer.metrics.interface import Alternatives, Metric, Statistics

DEFAULT_TOKENIZER = "13a"
_BY_CHARACTER = "char"


@dataclass(frozen=True, slots=True)
class Tokenisation:
    """How the metrics that count words find them."""

    bleu: str
    """Of `sacrebleu -tok`."""
    ter_asian: bool
    """Whether TER splits ideographs: `--ter-normalized --ter-asian-support`."""


_CHINESE = dict.fromkeys(("Hans", "Hant", "Hani", "Bopo"), Tokenisation("zh", ter_asian=True))
_JAPANESE_AND_KOREAN = dict.fromkeys(
    ("Jpan", "Hira", "Kana", "Kore", "Hang"), Tokenisation(_BY_CHARACTER, ter_asian=True)
)
_SCRIPTS = (
    dict.fromkeys(UNSPACED_SCRIPTS, Tokenisation(_BY_CHARACTER, ter_asian=False)) | _CHINESE | _JAPANESE_AND_KOREAN
)
"""Scripts without blanks between words, and Korean, whose particles are part of its words; all others 13a, as
sacrebleu does. Its ja-mecab and ko-mecab would need a morphological analyser. TER has a rule for Chinese, Japanese and
Korean only; it is refused (`finetune_api.refusals`) for Thai, Lao, Khmer, Burmese and Tibetan, where it would take what
stands between two blanks for a word. By characters a segment would take seconds, for TER tries all shifts.
"""
_COUNTED_BY_BLEU = {"zh": "Chinese characters, and words in other scripts", _BY_CHARACTER: "characters"}
"""What is counted in place of words, by tokeniser."""


def tokenisation(language: str) -> Tokenisation:
    """By the script that a language, however its code is written, is written in."""
    return _SCRIPTS.get(normalise_language(language).script, Tokenisation(DEFAULT_TOKENIZER, ter_asian=False))


class SacrebleuMetric(Metric):
    """Wraps one of sacrebleu's metrics, with one reference a segment."""

    def __init__(self, metric: base.Metric, flags: str, note: str = "") -> None:
        """`flags` ask sacrebleu's command line for the same; `note` is what a reader must know."""
        self._metric = metric
        self._flags = flags
        self._note = note

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:
        """See Metric; there is one reference a segment."""
        only = [reference for (reference,) in references]
        rows = self._metric._extract_corpus_statistics(list(outputs), [only])  # noqa: SLF001
        return np.array(rows, np.float64)

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        """See Metric."""
        return float(self._metric._compute_score_from_stats(sums.tolist()).score)  # noqa: SLF001

    @property
    def note(self) -> str:
        """See Metric."""
        return self._note

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
        tokenizer = tokenisation(language).bleu
        counted = _COUNTED_BY_BLEU.get(tokenizer)
        note = f"BLEU of {language} counts {counted}." if counted else ""
        super().__init__(bleu.BLEU(tokenize=tokenizer), "-m bleu", note)

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

    def __init__(self, language: str) -> None:
        """`language` decides whether ideographs are words."""
        asian = tokenisation(language).ter_asian
        by_ideographs = asian and not writes_blanks(language)
        note = f"TER of {language} counts ideographs, and what stands between them." if by_ideographs else ""
        super().__init__(ter.TER(normalized=asian, asian_support=asian), "-m ter", note)

    def command(self, tsv: str, signature: str) -> str:
        """See Metric."""
        asian = "asian:yes" in signature.split("|")
        return super().command(tsv, signature) + (" --ter-normalized --ter-asian-support" if asian else "")
