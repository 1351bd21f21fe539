"""How a manifest spells languages and directions.

A tag is one of BCP 47 (RFC 5646) with the language, and where needed script, region and variants, each in its usual
case: `deu`, `pt-BR`, `zh-Hans-CN`, `ca-valencia`. `_` joins them as `-` does, as in the names of NLLB and FLORES:
`eng_Latn`. The case tells subtags apart, so that a direction, two tags with `-` between them, can be read in one way:
only languages are two or three small letters.
"""

from __future__ import annotations

import re

from finetune_api.language_names import has_name
from finetune_api.languages import POSIX_SCRIPTS

TAG = "[a-z]{2,3}([-_][A-Z][a-z]{3})?([-_]([A-Z]{2}|[0-9]{3}))?([-_]([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"
"""Language, script, region, variants; no extensions and no private use."""
MAX_TAG_LENGTH = 35
"""Characters; what RFC 5646 (4.4.1) advises to have room for."""

_TAG = re.compile(TAG)
_SECOND_LANGUAGE = re.compile(r"-(?=[a-z]{2,3}([-_]|$))")
_CASES = (
    (re.compile(r"[A-Za-z]{4}"), str.title),
    (re.compile(r"[A-Za-z]{2}|[0-9]{3}"), str.upper),
    (re.compile(r"[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}"), str.lower),
)
"""Of scripts, regions and variants."""


def direction_languages(direction: str) -> tuple[str, str]:
    """Split `en-pt-BR` into `("en", "pt-BR")`; the direction is one that the API takes."""
    between = _SECOND_LANGUAGE.search(direction)
    if between is None:
        raise ValueError(f"{direction!r} is no direction")
    return direction[: between.start()], direction[between.end() :]


def spelling_of_tag(text: str) -> str:
    """How a language is to be written that was written otherwise: `pt-br` -> `pt-BR`, `sr@latin` -> `sr-Latn`.

    Empty if nobody knows what is meant.
    """
    plain, _, modifier = text.strip().partition("@")
    head, *rest = re.split("([-_])", plain.partition(".")[0])
    if script := POSIX_SCRIPTS.get(modifier.lower()):
        rest = ["-", script, *rest]
    elif modifier:
        rest = [*rest, "-", modifier]
    written = "".join([head.lower(), *map(_in_its_case, rest)])
    return written if _TAG.fullmatch(written) and len(written) <= MAX_TAG_LENGTH else ""


def spelling_of_direction(text: str) -> str:
    """Likewise of a direction: `EN-ES` -> `en-es`, `en-pt-br` -> `en-pt-BR or en-PT-br`."""
    halves = ((text[: mark.start()], text[mark.end() :]) for mark in re.finditer("[-_]", text))
    pairs = [(spelling_of_tag(source), spelling_of_tag(target)) for source, target in halves]
    return " or ".join(f"{source}-{target}" for source, target in pairs if has_name(source) and has_name(target))


def _in_its_case(subtag: str) -> str:
    return next((change(subtag) for form, change in _CASES if form.fullmatch(subtag)), subtag)
