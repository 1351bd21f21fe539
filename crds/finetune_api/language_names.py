"""English names of languages, for prompts: those of Unicode's CLDR, in a table that `make generate` writes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from finetune_api.languages import canonical_language, subtags_of

TABLE = Path(__file__).with_suffix(".json")
"""Names of languages (by each of their codes, some with script or region), scripts, regions and variants."""


def language_name(code: str) -> str:
    """`es` -> `Spanish`, `eng_Latn` -> `English`, `pt-BR` -> `Brazilian Portuguese`, `sr-Latn` -> `Serbian (Latin)`.

    Raises:
        LookupError: if the language has no name.
    """
    names = _names()
    shortest, script, region, variants = subtags_of(code)
    wholes = (
        (language, *parts)
        for parts in ((script, region), (script,), (region,), ())
        for language in (_as_written(code), shortest)
    )
    whole = next((parts for parts in wholes if "_".join(parts) in names["languages"]), None)
    if whole is None:
        raise LookupError(f"{code} has no English name")
    is_usual = not subtags_of(canonical_language(code)).script
    rest = [
        "" if script in whole or is_usual else names["scripts"].get(script, script),
        "" if region in whole else names["regions"].get(region, region),
        *(names["variants"].get(variant, variant) for variant in variants),
    ]
    details = ", ".join(filter(None, rest))
    return names["languages"]["_".join(whole)] + (f" ({details})" if details else "")


def has_name(code: str) -> bool:
    """Whether the language of a code has an English name."""
    return not _names()["languages"].keys().isdisjoint({_as_written(code), subtags_of(code).language})


def _as_written(code: str) -> str:
    """The language alone: the table has names that a shorter code would lose, as of `fil`."""
    return code.replace("_", "-").partition("-")[0]


@cache
def _names() -> dict[str, dict[str, str]]:
    names: dict[str, dict[str, str]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return names
