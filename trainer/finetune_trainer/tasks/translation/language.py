"""Which of two languages a text looks like: naive Bayes over character trigrams, learnt from the training split."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from finetune_trainer.data.words import UNSPACED_RUN

LEARN_FROM = 5000
"""Segments per language: more changes nothing."""
SURE = math.log(20)
"""Log odds from which a text counts as being in the other language."""
_SMOOTHING = 0.5
_CAP = 1.0
"""No trigram counts for more: overlapping trigrams are not independent, and rare ones are rare by chance."""


@dataclass(frozen=True, slots=True)
class LanguageProfile:
    """Log odds of source against target language by trigram."""

    weights: Mapping[str, float]

    def looks_like_source(self, text: str) -> bool:
        """Whether the text is, at odds of 20 to 1, in the source rather than in the target language."""
        return sum(self.weights.get(gram, 0.0) for gram in _trigrams(text)) > SURE


_CODE = re.compile(r"[%{}<>@/\\_=\d]")
"""Words with these are placeholders, addresses, markup, numbers: in no language."""


def learn_profile(source_texts: Iterable[str], target_texts: Iterable[str]) -> LanguageProfile:
    """Learn from texts of both languages; n-grams never seen have no weight."""
    source = Counter(gram for text in source_texts for gram in _trigrams(text))
    target = Counter(gram for text in target_texts for gram in _trigrams(text))
    grams = source.keys() | target.keys()
    source_total = source.total() + _SMOOTHING * len(grams)
    target_total = target.total() + _SMOOTHING * len(grams)
    return LanguageProfile(
        {
            gram: _capped(
                math.log((source[gram] + _SMOOTHING) / source_total)
                - math.log((target[gram] + _SMOOTHING) / target_total)
            )
            for gram in grams
        }
    )


def _capped(log_odds: float) -> float:
    return max(-_CAP, min(_CAP, log_odds))


def _trigrams(text: str) -> Iterator[str]:
    words = (part for word in text.lower().split() for part in _without_code(word))
    padded = f" {' '.join(words)} "
    return (padded[i : i + 3] for i in range(len(padded) - 2))


def _without_code(word: str) -> list[str]:
    """Where blanks do not part words, only what is in such a script is kept of a sentence that holds code."""
    return UNSPACED_RUN.findall(word) if _CODE.search(word) else [word]
