"""Ways in which a translation fails that a score does not name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finetune_trainer.data.units import WORDS, Unit, count_characters
from finetune_trainer.tasks.translation.language import LanguageProfile

_CHARACTER_LOOP = re.compile(r"([^\s\d]{1,8}?)\1{5,}")
"""The same 1 to 8 characters six times or more without a blank; numbers may have many zeros."""


def diagnose(
    sources: Sequence[str],
    references: Sequence[str],
    hypotheses: Sequence[str],
    profile: LanguageProfile,
    unit: Unit = WORDS,
) -> dict[str, float]:
    """The task's diagnostics over the segments. What the reference does too (a name copied, `......`) is no failure.

    `unit`: of the target language.
    """
    count = max(1, len(hypotheses))
    rows = list(zip(sources, references, hypotheses, strict=True))
    return {
        "offTarget": max(0, _foreign(hypotheses, profile) - _foreign(references, profile)) / count,
        "copies": sum(is_copy(s, h, unit) and not is_copy(s, r, unit) for s, r, h in rows) / count,
        "empty": sum(not h.strip() and bool(r.strip()) for _, r, h in rows) / count,
        "repetition": sum(loops(h, unit) and not loops(r, unit) for _, r, h in rows) / count,
        "lengthRatio": sum(map(count_characters, hypotheses)) / max(1, sum(map(count_characters, references))),
    }


def _foreign(texts: Sequence[str], profile: LanguageProfile) -> int:
    """How many look like the source language.

    Between close languages many references do, and other segments of them than of the outputs: so counts are compared.
    """
    return sum(map(profile.looks_like_source, texts))


def is_copy(source: str, text: str, unit: Unit = WORDS) -> bool:
    """Whether the text is the source, but for case and white space."""
    return bool(text.split()) and unit.split(source.casefold()) == unit.split(text.casefold())


def loops(text: str, unit: Unit = WORDS) -> bool:
    """Whether 1 to 8 words (2 to 32 characters) come three times in a row, or a few characters six times."""
    units = unit.split(text)
    for size in unit.loop:
        for start in range(len(units) - 3 * size + 1):
            first = units[start : start + size]
            if (
                first == units[start + size : start + 2 * size] == units[start + 2 * size : start + 3 * size]
                and (unit is WORDS or any(map(str.isalpha, "".join(first))))  # a rule of dashes is none
            ):
                return True
    return _CHARACTER_LOOP.search(text) is not None
