"""Scores of short answers, as SQuAD has them (Rajpurkar et al. 2016): ExactMatch and TokenF1, means over answers.

Both texts are compared in small letters, without punctuation (SQuAD's, which is ASCII's, and Unicode's, as in MLQA),
without `a`, `an` and `the` where they are English, and with single blanks. Where a language is written without blanks,
each character is a token.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from finetune_api.languages import normalise_language, writes_blanks
from finetune_trainer.metrics.interface import Alternatives, Metric, Statistics

_PUNCTUATION = frozenset(string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class _AnswerMetric(Metric):
    """Percent; statistics are (score, 1) of each answer."""

    def __init__(self, language: str) -> None:
        """`language` decides whether articles go, and what a token is."""
        self._is_english = normalise_language(language).language == "en" if language else False
        self._writes_blanks = writes_blanks(language) if language else True

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:
        """See Metric; of the references the one counts that the output is most like, as in SQuAD."""
        best = [self._best(*pair) for pair in zip(outputs, references, strict=True)]
        return np.array([[score, 1.0] for score in best], np.float64).reshape(-1, 2)

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        """See Metric."""
        total, count = sums
        return float(100.0 * total / count) if count else 0.0

    def compare(self, output: list[str], reference: list[str]) -> float:
        """0 to 1."""
        raise NotImplementedError

    @property
    def signature(self) -> str:
        """See Metric."""
        articles = "en" if self._is_english else "kept"
        return f"norm:squad|articles:{articles}|tok:{'blank' if self._writes_blanks else 'char'}"

    def _best(self, output: str, references: Alternatives) -> float:
        tokens = self._tokens(output)
        return max(self.compare(tokens, self._tokens(reference)) for reference in references)

    def _tokens(self, text: str) -> list[str]:
        small = "".join(c for c in text.lower() if not _is_punctuation(c))
        words = (_ARTICLES.sub(" ", small) if self._is_english else small).split()
        return words if self._writes_blanks else list("".join(words))


def _is_punctuation(character: str) -> bool:
    return character in _PUNCTUATION or unicodedata.category(character).startswith("P")


class ExactMatch(_AnswerMetric):
    """Share of the answers that are the reference."""

    def compare(self, output: list[str], reference: list[str]) -> float:
        """1 if they are equal."""
        return float(output == reference)


class TokenF1(_AnswerMetric):
    """Harmonic mean of precision and recall of the answer's tokens, each as often as it stands there."""

    def compare(self, output: list[str], reference: list[str]) -> float:
        """2 PR / (P + R) of the shared tokens; without any token on a side, 1 if the other has none either."""
        if not output or not reference:
            return float(output == reference)
        shared = sum((Counter(output) & Counter(reference)).values())
        return 2.0 * shared / (len(output) + len(reference))
