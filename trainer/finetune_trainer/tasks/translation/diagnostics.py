"""Ways in which a translation fails that a score does not name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finetune_trainer.tasks.translation.language import LanguageProfile

_LONGEST_LOOP = 8
"""Words."""
_CHARACTER_LOOP = re.compile(r"([^\s\d]{1,8}?)\1{5,}")
"""The same 1 to 8 characters six times or more without a blank; numbers may have many zeros."""


def diagnose(
    sources: Sequence[str], references: Sequence[str], hypotheses: Sequence[str], profile: LanguageProfile
) -> dict[str, float]:
    """The task's diagnostics over the segments. What the reference does too (a name copied, `......`) is no failure."""
    count = max(1, len(hypotheses))
    rows = list(zip(sources, references, hypotheses, strict=True))
    return {
        "offTarget": max(0, _foreign(hypotheses, profile) - _foreign(references, profile)) / count,
        "copies": sum(is_copy(s, h) and not is_copy(s, r) for s, r, h in rows) / count,
        "empty": sum(not h.strip() and bool(r.strip()) for _, r, h in rows) / count,
        "repetition": sum(loops(h) and not loops(r) for _, r, h in rows) / count,
        "lengthRatio": sum(map(len, hypotheses)) / max(1, sum(map(len, references))),
    }


def _foreign(texts: Sequence[str], profile: LanguageProfile) -> int:
    """How many look like the source language.

    Between close languages many references do, and other segments of them than of the outputs: so counts are compared.
    """
    return sum(map(profile.looks_like_source, texts))


def is_copy(source: str, text: str) -> bool:
    """Whether the text is the source, but for case and white space."""
    return bool(text.split()) and source.casefold().split() == text.casefold().split()


def loops(text: str) -> bool:
    """Whether 1 to 8 words come three times in a row, or a few characters six times."""
    words = text.split()
    for size in range(1, min(_LONGEST_LOOP, len(words) // 3) + 1):
        for start in range(len(words) - 3 * size + 1):
            first = words[start : start + size]
            if first == words[start + size : start + 2 * size] == words[start + 2 * size : start + 3 * size]:
                return True
    return _CHARACTER_LOOP.search(text) is not None
