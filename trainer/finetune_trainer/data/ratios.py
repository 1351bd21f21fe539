"""How much longer one side of a pair is than the other, measured against what is usual for its two languages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from finetune_api.languages import normalise_language

MATTERS_FROM = 20
"""Characters of the longer side; short strings differ in length for good reasons."""
SAMPLE_PAIRS = 20_000
"""The first pairs of a source, of which the usual ratio is taken."""
FEWEST_PAIRS = 10
"""Pairs that are long enough for it; from fewer it is not known, and the scripts tell."""
_CHARACTERS = {"Hani": 0.35, "Hans": 0.35, "Hant": 0.35, "Jpan": 0.5, "Kore": 0.5}
"""Characters in which a script says what an alphabet says in one."""


def usual_ratio(pairs: Sequence[tuple[str, ...]], languages: Sequence[str], max_ratio: float) -> float:
    """Length of the first side by that of the second, as the median over the pairs has it.

    1 where the median is so near to 1 (by the square root of `max_ratio`) that pairs of equal length are ordinary too:
    languages of one alphabet are measured against equal length, as they always were.
    """
    lengths = [(len(first), len(second)) for first, second in pairs]
    ratios = [first / second for first, second in lengths if max(first, second) >= MATTERS_FROM]
    first, second = (_CHARACTERS.get(normalise_language(language).script, 1.0) for language in languages)
    usual = median(ratios) if len(ratios) >= FEWEST_PAIRS else first / second
    return 1.0 if abs(math.log(usual)) <= math.log(max_ratio) / 2 else usual


def breaks_ratio(texts: tuple[str, ...], max_ratio: float, usual: float) -> bool:
    """Whether the sides differ from the usual ratio by more than the factor, either way."""
    first, second = map(len, texts)
    shorter, longer = sorted((float(first), second * usual))
    return max(first, second) >= MATTERS_FROM and longer > max_ratio * shorter
