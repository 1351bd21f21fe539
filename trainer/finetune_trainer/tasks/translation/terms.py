"""Terms whose translation somebody has laid down in a dictionary, and outputs that lack it."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from finetune_api.languages import writes_blanks
from finetune_trainer.tasks.translation.kept import FEWEST

_WORD = regex.compile(r"\w+")
"""With the marks of a letter, which the standard library's `\\w` takes for its end."""


@dataclass(frozen=True, slots=True)
class Term:
    """What stands in the dictionary."""

    source: str
    translations: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.source} → {' / '.join(self.translations)}"


class Terms:
    """A dictionary between two languages."""

    def __init__(self, dictionary: Mapping[str, tuple[str, ...]], languages: tuple[str, str]) -> None:
        """`languages` are those of sources and of translations."""
        self._languages = languages
        self._by_start: dict[str, list[Term]] = defaultdict(list)
        for source, translations in dictionary.items():
            self._by_start[self._starts(_folded(source))[0]].append(Term(source, translations))

    def asked(self, source: str, reference: str) -> tuple[Term, ...]:
        """Terms of the source that the reference translates as the dictionary says.

        What the reference says otherwise is not asked of an output.
        """
        text = _folded(source)
        candidates = [term for start in dict.fromkeys(self._starts(text)) for term in self._by_start.get(start, ())]
        found = [term for term in candidates if _holds(text, term.source, self._languages[0])]
        return tuple(self.kept(found, reference))

    def kept(self, terms: Sequence[Term], text: str) -> list[Term]:
        """Those of the terms of which a translation stands in the text, whatever its letter case."""
        folded = _folded(text)
        return [t for t in terms if any(_holds(folded, word, self._languages[1]) for word in t.translations)]

    def _starts(self, text: str) -> list[str]:
        """What terms within a text can begin with: words, or characters where no blanks part words; never empty."""
        found = _WORD.findall(text) if writes_blanks(self._languages[0]) else list(text)
        return [*found, ""] if found else [""]


@dataclass(frozen=True, slots=True)
class AskedTerms:
    """What a dictionary asks of each segment of a test set."""

    terms: Terms
    asked: Sequence[Sequence[Term]]
    """By segment; most have none."""

    @property
    def segments(self) -> int:
        """How many have one."""
        return sum(map(bool, self.asked))

    def lost(self, row: int, output: str) -> list[Term]:
        """Terms of a segment of which no translation stands in the output."""
        kept = self.terms.kept(self.asked[row], output)
        return [term for term in self.asked[row] if term not in kept]

    def lost_share(self, outputs: Sequence[str]) -> dict[str, float]:
        """`termsLost`: of the segments with a term, those whose output lost one; nothing of fewer than `FEWEST`."""
        if self.segments < FEWEST:
            return {}
        return {"termsLost": sum(bool(self.lost(row, text)) for row, text in enumerate(outputs)) / self.segments}


def _folded(text: str) -> str:
    """Without letter case, one form of each accented letter, one blank between words."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _holds(folded: str, term: str, language: str) -> bool:
    """Whether a term stands in a text, as words of their own where the language parts words by blanks."""
    wanted = _folded(term)
    return wanted in folded and (not writes_blanks(language) or _as_words(wanted).search(folded) is not None)


@lru_cache(maxsize=8192)
def _as_words(wanted: str) -> regex.Pattern[str]:
    """No letter or digit goes on where the term begins or ends with one; `c++` ends with none."""
    before = r"(?<!\w)" if _WORD.match(wanted) else ""
    after = r"(?!\w)" if _WORD.match(wanted[-1]) else ""
    return regex.compile(f"{before}{regex.escape(wanted)}{after}")
