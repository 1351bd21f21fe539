"""English names of languages, as prompts have them."""

from __future__ import annotations

import pytest

from finetune_api.language_names import has_name, language_name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("en", "English"),
        ("es", "Spanish"),
        ("deu", "German"),
        ("pt-BR", "Brazilian Portuguese"),
        ("por_BR", "Brazilian Portuguese"),
        ("sr-Latn", "Serbian (Latin)"),
        ("de-LU", "German (Luxembourg)"),
        ("eng_Latn", "English"),
        ("zho_Hans", "Simplified Chinese"),
        ("zh-Hans-CN", "Simplified Chinese (China)"),
        ("cmn", "Chinese"),
        ("ca-valencia", "Catalan (Valencian)"),
        ("ca-unheard", "Catalan (unheard)"),
        ("es-419", "Latin American Spanish"),
        ("fil", "Filipino"),
        ("arb_Arab", "Arabic"),
        ("quy", "Quechua"),
        ("iw", "Hebrew"),
    ],
)
def test_languages_have_english_names(code: str, name: str) -> None:
    assert has_name(code)
    assert language_name(code) == name


@pytest.mark.parametrize("code", ["xq", "qaa", "und", "mul", "xq-Latn"])
def test_a_language_without_a_name_is_told(code: str) -> None:
    assert not has_name(code)
    with pytest.raises(LookupError, match=f"{code} has no English name"):
        language_name(code)
