"""Words and sentences in any script: counted, and cut where they end.

Where a script puts blanks between words, words are what stands between blanks. Where it does not, they are estimated:
two characters of Chinese or Japanese are one word, four letters of Thai or Lao, three of Khmer, Myanmar or Tibetan with
what stands around them. A dictionary would tell better where a word ends; how long a text is it would tell about the
same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

WORD = 12
"""Weight of a word; that of a character is a part of it, so that sums are whole numbers."""
_CHARACTER_WEIGHT, _THAI_WEIGHT, _LETTER_WEIGHT = WORD // 2, WORD // 4, WORD // 3
_CHARACTERS = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003fffd"
)
"""Han, kana and bopomofo."""
_BLOCKS = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaa7f"
"""Thai, Lao, Tibetan, Myanmar, Khmer and the Tai scripts."""
_LETTERS = "".join(
    letter
    for first, last in re.findall("(.)-(.)", _BLOCKS)
    for letter in map(chr, range(ord(first), ord(last) + 1))
    if unicodedata.category(letter) in {"Lo", "Lm", "Nd"}
)
_AFTER_LAO = "\u0f00"
_GLUE = "\u0e40-\u0e44\u0ec0-\u0ec4\u1039\u17d2"
"""Vowels written before their consonant, and signs that put the next one below: no cut after them."""

UNSPACED = re.compile(f"[{_CHARACTERS}{_BLOCKS}]")
UNSPACED_RUN = re.compile(f"[{_CHARACTERS}{_BLOCKS}]+")
_UNIT = re.compile(f"([{_CHARACTERS}])|((?<![{_GLUE}])[{_LETTERS}])|([^\\s{_CHARACTERS}{_BLOCKS}]+)")
_SPACED_UNIT = re.compile(r"\S+")
SENTENCE_END = re.compile(
    # A full stop, question or exclamation mark or ellipsis, in the form of whichever script, before white space;
    # marks of scripts without blanks end a sentence by themselves; and there, a blank does.
    "[.!?\u2026\u061f\u06d4\u0964\u0965\u0589\u1362]\\s+"
    "|[\u3002\uff01\uff1f\uff61\u17d4\u17d5\u104b\u0f0d\u0f0e]+[\u300d\u300f\u201d\u2019\uff09]*\\s*"
    f"|(?<=[{_BLOCKS}])\\s+"
)


def count_words(text: str) -> int:
    """Words of a text, rounded up."""
    if text.isascii() or UNSPACED.search(text) is None:
        return len(text.split())
    return -(-sum(weight for _, weight in _units(text)) // WORD)


def pieces_of(text: str, max_words: int) -> Iterator[str]:
    """The text in pieces of at most `max_words` words: cut at ends of sentences where possible, within where not."""
    budget = max_words * WORD
    start = used = 0
    for begin, end in _sentences(text):
        units = list(_units(text[begin:end]))
        total = sum(weight for _, weight in units)
        if used and used + total > budget:
            yield text[start:begin].strip()
            start, used = begin, 0
        if total <= budget:
            used += total
            continue
        for place, weight in units:
            if used + weight > budget:
                yield text[start : begin + place].strip()
                start, used = begin + place, 0
            used += weight
    if text[start:].strip():
        yield text[start:].strip()


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each; white space belongs to the one before it."""
    begin = 0
    for end in SENTENCE_END.finditer(text):
        yield begin, end.end()
        begin = end.end()
    if begin < len(text):
        yield begin, len(text)


def _units(text: str) -> Iterator[tuple[int, int]]:
    """Place and weight of each word, character or letter; a cut may be before each."""
    if UNSPACED.search(text) is None:
        yield from ((match.start(), WORD) for match in _SPACED_UNIT.finditer(text))
        return
    for match in _UNIT.finditer(text):
        if match[1]:
            yield match.start(), _CHARACTER_WEIGHT
        elif match[2]:
            yield match.start(), _THAI_WEIGHT if match[2] < _AFTER_LAO else _LETTER_WEIGHT
        elif _is_word(match):
            yield match.start(), WORD


def _is_word(run: re.Match[str]) -> bool:
    """Punctuation next to characters is none; between blanks it is, as everywhere."""
    around = run.string[run.start() - 1 : run.start()], run.string[run.end() : run.end() + 1]
    return any(map(str.isalnum, run[0])) or not "".join(around).strip()
