"""Cleaning rules: pure functions from raw texts to clean texts, or to the name of the rule that drops them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator

from finetune_api.data import Clean
from finetune_trainer.data.invisible import without_rubbish
from finetune_trainer.data.markup import without_markup
from finetune_trainer.hashing import folded

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
WHITE_SPACE = re.compile(r"\s+")
SENTENCE_END = re.compile(r"(?<=[.!?\u2026\u3002\uff01\uff1f])\s+")
"""White space after a full stop, question or exclamation mark, ellipsis, or their East Asian forms."""
RATIO_MATTERS_FROM = 20
"""Characters of the longer side; short strings differ in length for good reasons."""


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


def _normalised(text: str, rules: Clean) -> str:
    return text if rules.normalise == "None" else unicodedata.normalize(rules.normalise, text)


def clean_pair(texts: tuple[str, ...], rules: Clean, *, any_length: bool = False) -> tuple[str, ...] | str:
    """Both sides clean, or the name of the rule that drops the pair; `any_length` puts maxWords aside."""
    cleaned = tuple(clean_text(text, rules) for text in texts)
    if not all(cleaned):
        return "empty"
    if rules.drop_copies and len({folded(text) for text in cleaned}) == 1:
        return "copy"
    words = [len(text.split()) for text in cleaned]
    if min(words) < rules.min_words:
        return "tooShort"
    if max(words) > rules.max_words and not any_length:
        return "tooLong"
    lengths = sorted(len(text) for text in cleaned)
    if lengths[1] >= RATIO_MATTERS_FROM and lengths[1] > rules.max_length_ratio * lengths[0]:
        return "lengthRatio"
    return cleaned


def clean_pieces(text: str, rules: Clean) -> Iterator[str] | str:
    """The pieces of a text, each of at most `maxWords` words; or the name of the rule that drops it."""
    cleaned = clean_text(text, rules)
    if not cleaned:
        return "empty"
    if len(cleaned.split()) < rules.min_words:
        return "tooShort"
    return _pieces(cleaned, rules.max_words)


def _pieces(text: str, max_words: int) -> Iterator[str]:
    """Cut at sentence ends where possible, within sentences where not."""
    piece: list[str] = []
    for sentence in SENTENCE_END.split(text):
        words = sentence.split(" ")
        if piece and len(piece) + len(words) > max_words:
            yield " ".join(piece)
            piece = []
        while len(words) > max_words:
            yield " ".join(words[:max_words])
            words = words[max_words:]
        piece += words
    if piece:
        yield " ".join(piece)
