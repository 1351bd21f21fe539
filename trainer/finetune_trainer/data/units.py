"""In what the length of a text is counted: words where the script puts blanks between them, else characters.

Characters are grapheme clusters (Unicode Standard Annex 29), what a reader takes for one: a letter of Thai or Tibetan
comes with the signs above and below it. White space is none. How long a text may be before it is cut is another matter:
`data.words` estimates words there, so that one limit fits sources of all scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import regex

from finetune_api.languages import writes_blanks

_CLUSTER = regex.compile(r"\X")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is counted, and which counts tell something."""

    name: str
    """In the plural, for people."""
    joint: str
    """What stands between two pieces."""
    edges: Sequence[int]
    """First length of each group of segments; the last is open."""
    loop: range
    """Lengths of a sequence that is a failure where it comes three times in a row."""

    def pieces(self, text: str) -> list[str]:
        """The text in parts that give it again, joined by `joint`, but for the kind and number of blanks."""
        words = text.split()
        if self.joint:
            return words
        clusters = [[" ", *_CLUSTER.findall(word)] for word in words]
        return list(chain.from_iterable(clusters))[1:]

    def split(self, text: str) -> list[str]:
        """The units of a text; blanks are none."""
        return [piece for piece in self.pieces(text) if piece != " "]


WORDS = Unit("words", " ", (1, 3, 6, 11, 21, 41), range(1, 9))
CHARACTERS = Unit("characters", "", (1, 6, 16, 31, 61, 121), range(2, 33))
"""Two to four are a word (`data.words`), so that groups and sequences are about as long as those of words. A single
character three times in a row is ordinary: 哈哈哈."""


def unit_of(language: str) -> Unit:
    """By the script that a language, however its code is written, is written in; words if it is not known."""
    return WORDS if writes_blanks(language) else CHARACTERS


def count_characters(text: str) -> int:
    """Characters of a text in any script, blanks among them."""
    return len(text) if text.isascii() else len(_CLUSTER.findall(text))
