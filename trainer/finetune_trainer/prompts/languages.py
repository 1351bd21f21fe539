"""Names of languages, in English, for prompts."""

from __future__ import annotations

from functools import cache

from babel import Locale
from babel.core import get_global

from finetune_trainer.errors import BadConfiguration


@cache
def language_name(code: str) -> str:
    """`es` -> `Spanish`, `deu` -> `German`, `pt-BR` -> `Brazilian Portuguese` (names of Unicode's CLDR).

    Raises:
        BadConfiguration: if nobody knows the code.
    """
    names = Locale("en").languages
    language, _, subtag = code.partition("-")
    language = get_global("language_aliases").get(language, language)
    whole = f"{language}_{subtag}"
    if subtag and whole in names:
        return str(names[whole])
    if language not in names:
        raise BadConfiguration(
            "UnknownLanguage",
            f"direction: {code} is not a language code that has an English name",
            "Use ISO 639 codes such as en, deu or pt-BR.",
        )
    if not subtag:
        return str(names[language])
    detail = Locale("en").territories.get(subtag) or Locale("en").scripts.get(subtag) or subtag
    return f"{names[language]} ({detail})"
