"""What gettext catalogs of both kinds have in common: the header, and the form of a message for one thing."""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from dataclasses import dataclass

CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
PLURAL = re.compile(r"plural\s*=\s*([^;]{1,1000})", re.IGNORECASE)
_SYNTAX = 'msgid "+\\u0041"'
NO_CHARSET = "CHARSET"
"""What a template has in its place."""


@dataclass(frozen=True, slots=True)
class Message:
    """One translation."""

    line: int
    """Line of a .po, number in a .mo; from 1."""
    key: str
    translation: str


def header_fields(header: str) -> dict[str, str]:
    """Values by name in lower case, of the translation of the empty key."""
    rows = (line.partition(":") for line in header.split("\n"))
    return {name.strip().lower(): value.strip() for name, _, value in rows}


def charset_of(header: str) -> str | None:
    """The charset that a header names, wherever it stands in it.

    Raises:
        LookupError: if nobody knows it.
        ValueError: if it is none that a catalog can be in: their syntax is ASCII.
    """
    found = CHARSET.search(header_fields(header).get("content-type", ""))
    return usable_charset(found[1]) if found and found[1] != NO_CHARSET else None


def usable_charset(name: str) -> str:
    """The charset itself; raises as `charset_of`."""
    if _SYNTAX.encode(name) != _SYNTAX.encode() or _SYNTAX.encode().decode(name) != _SYNTAX:
        raise ValueError(f"a catalog cannot be in charset {name}")
    return name


def form_for_one(header: str) -> int:
    """Which plural form is for one thing: the first in most languages, the second of the six in Arabic.

    By the header's `Plural-Forms` at n = 1 (GNU gettext manual, "Plural forms"); without one, or with one that is no
    expression, the first.
    """
    found = PLURAL.search(header_fields(header).get("plural-forms", "").partition(";")[2])
    try:
        return int(gettext.c2py(found[1].strip())(1)) if found else 0
    except (ValueError, SyntaxError, ArithmeticError, RecursionError, MemoryError):
        return 0


def translation_of(whole: str | None, forms: Mapping[int, str], for_one: int) -> str:
    """Of a message, or of one of its plural forms, for one thing."""
    return whole if whole is not None else forms.get(for_one, forms.get(0, ""))
