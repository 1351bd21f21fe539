"""Sentences of words with a tag each, as rows of a CoNLL source: kept as one text each, canonical JSON."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetune_api.data import Clean
from finetune_trainer.data.clean import CONTROL

OUTSIDE = "O"
"""Tag of words that belong to no entity."""


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Words, and tags by IOB2: B- begins an entity of a type, I- goes on with it."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words with blanks between them."""
        return " ".join(self.words)

    @property
    def answer(self) -> str:
        """The tags with blanks between them."""
        return " ".join(self.tags)


def dumped(sentence: TaggedSentence) -> str:
    """As it is stored."""
    return json.dumps({"words": sentence.words, "tags": sentence.tags}, ensure_ascii=False)


def loaded(text: str) -> TaggedSentence:
    """A sentence from what `dumped` wrote."""
    stored = json.loads(text)
    return TaggedSentence(tuple(stored["words"]), tuple(stored["tags"]))


def asked(text: str) -> str:
    """What a stored sentence asks: its words."""
    return loaded(text).text


def contents(texts: Iterable[str]) -> Iterable[str]:
    """The words of stored sentences."""
    return map(asked, texts)


def types_of(text: str) -> tuple[str, ...]:
    """Types of the entities in a stored sentence."""
    return tuple(dict.fromkeys(tag[2:] for tag in loaded(text).tags if tag != OUTSIDE))


def tags_of_types(types: Iterable[str]) -> tuple[str, ...]:
    """All tags that there can be: an entity of one word teaches that there may be longer ones."""
    return (OUTSIDE, *(f"{place}-{kind}" for kind in sorted(types) for place in "BI"))


def clean_tagged(text: str, rules: Clean) -> str:
    """A stored sentence in normal form; no word is dropped, for each has a tag."""
    sentence = loaded(text)
    return dumped(TaggedSentence(tuple(_clean(word, rules) for word in sentence.words), sentence.tags))


def _clean(word: str, rules: Clean) -> str:
    kept = CONTROL.sub("", word) or word
    return kept if rules.normalise == "None" else unicodedata.normalize(rules.normalise, kept)


def tag_problem(tag: str, before: str) -> str | None:
    """What is wrong with a tag after the one `before` it in its sentence; completes "file:line "."""
    place, dash, kind = tag.partition("-")
    if tag == OUTSIDE:
        return None
    if place not in ("B", "I") or not dash or not kind:
        return f"has the tag {json.dumps(tag, ensure_ascii=False)}: O, or B- or I- with a type, was expected"
    if place == "I" and before not in (f"B-{kind}", tag):
        return f"has the tag {tag} after {before or 'the beginning'}: by IOB2 an entity begins with B-{kind}"
    return None


def first_problem(tags: Sequence[str]) -> tuple[int, str] | None:
    """Place and problem of the first tag that is wrong in a sentence."""
    for place, tag in enumerate(tags):
        problem = tag_problem(tag, tags[place - 1] if place else "")
        if problem is not None:
            return place, problem
    return None
