"""What a reader yields."""

from __future__ import annotations

from dataclasses import dataclass

EMPTY = "empty"
"""Name of the rule that drops rows without text; no row that is stored as JSON is that text."""
ANSWER_LOST = "answerLost"
"""Name of the rule that drops questions with an answer that is, in normal form, no part of its context any more."""
RULES = frozenset({EMPTY, ANSWER_LOST})
"""That drop stored rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: one text per language of the source."""

    texts: tuple[str, ...]
    file: str
    line: int
    """Line, row or entry number, from 1."""
    domain: str = ""
    """What it is about, where the source says so."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that cannot be read."""

    file: str
    line: int
    reason: str
    """Completes "file:line "."""
