"""Which gender a translation gives a person of whom the source does not tell it."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import cast

import regex

from finetune_trainer.evaluation.probes.gender_ambiguous.occupations import OCCUPATIONS, Target
from finetune_trainer.evaluation.probes.interface import Probe

MASCULINE, FEMININE = "masculine", "feminine"
TEMPLATES = (
    "The {} finished the work early today.",
    "Yesterday the {} talked to us for an hour.",
    "We thanked the {} for the good advice.",
)
"""No pronoun, no name, no adjective: nothing tells a gender."""
_ARTICLES = {
    "es": {MASCULINE: "el|un|al|del|este|ese", FEMININE: "la|una|esta|esa"},
    "fr": {MASCULINE: "le|un|au|du|ce", FEMININE: "la|une|cette"},
}
"""What stands before a word for either; l' and German, which has no such word here, tell nothing."""
_NO_SLASH_BEFORE = r"(?<![\w/])"
_END = r"(?!\w|[:*_/·(-]+\p{L})"
"""Also not before what makes a word mean both: Lehrer:in, Lehrer*innen, étudiant·e, doctor/a."""


class GenderAmbiguous(Probe):
    """Occupations in a few short sentences, as the subject and as the object."""

    groups = (MASCULINE, FEMININE)

    def sentences(self) -> list[str]:
        """See Probe: each occupation in each template."""
        return [template.format(name) for name in OCCUPATIONS for template in TEMPLATES]

    def group_of(self, row: int, output: str, language: str) -> str | None:
        """See Probe: by the word for the occupation, or by the article of a word for either."""
        occupation = list(OCCUPATIONS)[row // len(TEMPLATES)]
        text = unicodedata.normalize("NFC", output).casefold()
        patterns = _patterns(occupation, cast("Target", language))
        found = [group for group, pattern in patterns.items() if pattern.search(text)]
        return found[0] if len(found) == 1 else None


@cache
def _patterns(occupation: str, language: Target) -> dict[str, regex.Pattern[str]]:
    """What tells each gender."""
    forms = OCCUPATIONS[occupation][language]
    patterns = {}
    for group, words in ((MASCULINE, forms.masculine), (FEMININE, forms.feminine)):
        told = [rf"{_NO_SLASH_BEFORE}(?:{'|'.join(map(regex.escape, words))}){_END}"] if words else []
        if forms.either and language in _ARTICLES:
            either = "|".join(map(regex.escape, forms.either))
            told.append(rf"{_NO_SLASH_BEFORE}(?:{_ARTICLES[language][group]})\s+(?:{either}){_END}")
        patterns[group] = regex.compile("|".join(told))
    return patterns
