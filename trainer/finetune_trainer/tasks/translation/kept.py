"""What a translation must keep as it is: numbers, placeholders, tags."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

FEWEST = 10
"""Segments that must hold one before a share is told: one of three lost is chance."""
_TAG = re.compile(r"<(/?[A-Za-z][\w:.-]*)(?:\s[^<>]*)?/?>")
_PLACEHOLDER = re.compile(
    r"(?<![\w%])%(?:\(\w+\)|\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh?|ll?|[Lqjzt])?[diouxXeEfFgGcrsaA@](?!\w)"  # C, Python
    r"|\$?\{+\w*(?:[:!][^{}]*)?\}+"  # str.format, ICU, templates
)
_NUMBER = re.compile(r"\d+(?:[.,\u066b\u066c]\d+)*")


def lost_shares(sources: Sequence[str], references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Of the segments whose source and reference share one: the share in which the output lacks it.

    What the reference changes (a number in words) is not asked of the output. Kinds that fewer than `FEWEST` segments
    hold are left out.
    """
    shares = {}
    for name, find in KINDS.items():
        wanted = [find(source) & find(reference) for source, reference in zip(sources, references, strict=True)]
        asked = [(need, text) for need, text in zip(wanted, hypotheses, strict=True) if need]
        if len(asked) >= FEWEST:
            shares[name] = sum(bool(need - find(text)) for need, text in asked) / len(asked)
    return shares


def _tags(text: str) -> Counter[str]:
    """By name and whether they close; attributes may be translated."""
    return Counter(_TAG.findall(text))


def _placeholders(text: str) -> Counter[str]:
    return Counter(_PLACEHOLDER.findall(text))


def _numbers(text: str) -> Counter[str]:
    """Digits alone, in ASCII: languages part thousands and decimals in their own ways."""
    plain = _PLACEHOLDER.sub(" ", _TAG.sub(" ", text))
    return Counter("".join(str(unicodedata.digit(c, "")) for c in number) for number in _NUMBER.findall(plain))


KINDS = {"numbersLost": _numbers, "placeholdersLost": _placeholders, "tagsLost": _tags}
"""Diagnostics, and what finds the things that each is about."""
