"""Cleaning rules: pure functions from raw texts to clean texts, or to the name of the rule that drops them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator

from finetune_api.data import Clean
from finetune_trainer.data.invisible import without_rubbish
from finetune_trainer.data.markup import without_markup
from finetune_trainer.data.ratios import breaks_ratio
from finetune_trainer.data.words import count_words, pieces_of
from finetune_trainer.hashing import folded

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LENGTH_RATIO = "lengthRatio"
"""Name of the rule."""
WHITE_SPACE = re.compile(r"\s+")


def held_out_rules(rules: Clean) -> Clean:
    """For Test and Validation sources: texts are normalised, but only what is empty is dropped.

    A score is comparable only if it is over the whole test set, and a row that is not there cannot be kept out of
    training either.
    """
    nothing_dropped = {"drop_copies": False, "max_length_ratio": math.inf, "min_words": 0}
    return rules.model_copy(update=nothing_dropped)


def clean_text(text: str, rules: Clean) -> str:
    """Normal form, no markup, no control characters, no characters without width or meaning, single blanks."""
    if rules.remove_html:
        text = without_markup(text)
    text = _normalised(CONTROL.sub(" ", text), rules)
    visible = without_rubbish(text)
    if visible != text:  # an accent may have come next to its letter
        text = _normalised(visible, rules)
    return WHITE_SPACE.sub(" ", text).strip()


def clean_lines(text: str, rules: Clean) -> str:
    """Normal form, no control characters; line breaks, tabs and markup stay, as they are part of what is said."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x85", "\n")
    return _normalised(CONTROL.sub("", lines), rules).strip()


def _normalised(text: str, rules: Clean) -> str:
    return text if rules.normalise == "None" else unicodedata.normalize(rules.normalise, text)


def clean_pair(
    texts: tuple[str, ...], rules: Clean, *, any_length: bool = False, usual: float = 1.0
) -> tuple[str, ...] | str:
    """Both sides clean, or the name of the rule that drops the pair.

    Args:
        texts: of both sides, as they were read.
        rules: what to do.
        any_length: put maxWords aside.
        usual: length of the first side by that of the second, which maxLengthRatio is measured against.
    """
    cleaned = clean_sides(texts, rules, any_length=any_length)
    if not isinstance(cleaned, str) and breaks_ratio(cleaned, rules.max_length_ratio, usual):
        return LENGTH_RATIO
    return cleaned


def clean_sides(texts: tuple[str, ...], rules: Clean, *, any_length: bool = False) -> tuple[str, ...] | str:
    """As `clean_pair`, by all rules but maxLengthRatio."""
    cleaned = tuple(clean_text(text, rules) for text in texts)
    if not all(cleaned):
        return "empty"
    if rules.drop_copies and len({folded(text) for text in cleaned}) == 1:
        return "copy"
    words = [count_words(text) for text in cleaned]
    if min(words) < rules.min_words:
        return "tooShort"
    if max(words) > rules.max_words and not any_length:
        return "tooLong"
    return cleaned


def clean_pieces(text: str, rules: Clean) -> Iterator[str] | str:
    """The pieces of a text, each of at most `maxWords` words; or the name of the rule that drops it."""
    cleaned = clean_text(text, rules)
    if not cleaned:
        return "empty"
    if count_words(cleaned) < rules.min_words:
        return "tooShort"
    return pieces_of(cleaned, rules.max_words)
