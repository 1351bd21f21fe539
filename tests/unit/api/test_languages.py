"""Codes of languages in all the ways in which people write them."""

from __future__ import annotations

import pytest

from finetune_api.languages import (
    canonical_language,
    matching_codes,
    normalise_language,
    same_language,
    ter_has_words,
    writes_blanks,
)


@pytest.mark.parametrize(
    ("code", "language", "script"),
    [
        ("en", "en", "Latn"),
        ("eng", "en", "Latn"),
        ("eng_Latn", "en", "Latn"),
        ("EN-gb", "en", "Latn"),
        ("deu", "de", "Latn"),
        ("ger", "de", "Latn"),
        ("zh", "zh", "Hans"),
        ("zho", "zh", "Hans"),
        ("chi", "zh", "Hans"),
        ("cmn", "zh", "Hans"),
        ("zh-Hans-CN", "zh", "Hans"),
        ("zho_Hant", "zh", "Hant"),
        ("zh-TW", "zh", "Hant"),
        ("zh_HK", "zh", "Hant"),
        ("yue", "yue", "Hant"),
        ("jpn", "ja", "Jpan"),
        ("kor", "ko", "Kore"),
        ("tha", "th", "Thai"),
        ("khm", "km", "Khmr"),
        ("mya", "my", "Mymr"),
        ("bur", "my", "Mymr"),
        ("lao", "lo", "Laoo"),
        ("bod", "bo", "Tibt"),
        ("tib", "bo", "Tibt"),
        ("dz", "dz", "Tibt"),
        ("dzo", "dz", "Tibt"),
        ("srp", "sr", "Cyrl"),
        ("sr@latin", "sr", "Latn"),
        ("sr-Latn-RS", "sr", "Latn"),
        ("pes", "fa", "Arab"),
        ("arb_Arab", "ar", "Arab"),
        ("uz", "uz", "Latn"),
        ("uzn_Cyrl", "uz", "Cyrl"),
        ("ca-valencia", "ca", "Latn"),
        ("de-1996", "de", "Latn"),
        ("pt_BR.UTF-8", "pt", "Latn"),
        ("es-419", "es", "Latn"),
        ("iw", "he", "Hebr"),
        ("tlh", "tlh", ""),
        ("", "", ""),
    ],
)
def test_a_code_means_a_language_in_a_script(code: str, language: str, script: str) -> None:
    assert normalise_language(code) == (language, script)


def test_some_scripts_have_no_blanks_between_words() -> None:
    assert not any(map(writes_blanks, ["zho", "cmn", "yue", "jpn", "tha", "khm", "mya", "lao", "bod", "dz", "zh-Hant"]))
    assert all(map(writes_blanks, ["en", "kor", "vie", "ara", "hin", "amh", "ja-Latn", "tlh"]))


@pytest.mark.parametrize(
    ("code", "canonical"),
    [
        ("eng_Latn", "en"),
        ("ENG", "en"),
        ("zho_Hans", "zh"),
        ("zh_CN.UTF-8", "zh-CN"),
        ("zh-Hans-CN", "zh-CN"),
        ("zho_Hant_TW", "zh-TW"),
        ("zho_Hant", "zh-Hant"),
        ("pt_BR", "pt-BR"),
        ("por", "pt"),
        ("sr@latin", "sr-Latn"),
        ("srp_Latn", "sr-Latn"),
        ("srp_Cyrl", "sr"),
        ("ca_ES@valencia", "ca-ES-valencia"),
        ("hi@devanagari", "hi"),
        ("tlh_Latn", "tlh-Latn"),
    ],
)
def test_a_code_has_one_canonical_spelling(code: str, canonical: str) -> None:
    assert canonical_language(code) == canonical
    assert canonical_language(canonical) == canonical


@pytest.mark.parametrize(
    ("code", "other", "same"),
    [
        ("eng_Latn", "en", True),
        ("zho_Hans", "zh-CN", True),
        ("zh", "zh-TW", False),
        ("pt", "pt-BR", True),
        ("pt-PT", "pt-BR", False),
        ("ca", "ca-valencia", True),
        ("ca-valencia", "ca-balear", False),
        ("sr-Latn", "sr", False),
        ("srp_Latn", "sr@latin", True),
        ("en", "es", False),
    ],
)
def test_two_codes_can_mean_one_language(code: str, other: str, same: bool) -> None:
    assert same_language(code, other) is same
    assert same_language(other, code) is same


def test_the_nearest_code_comes_first() -> None:
    assert matching_codes("pt", ["pt-BR", "por", "pt", "es", "pt-PT"]) == ["pt", "por", "pt-BR", "pt-PT"]
    assert matching_codes("eng_Latn", ["en-GB", "en"]) == ["en", "en-GB"]
    assert matching_codes("pt-BR", ["pt-PT", "es"]) == []


def test_ter_finds_words_or_ideographs_in_most_scripts() -> None:
    assert all(map(ter_has_words, ["en", "zh", "zho_Hant", "jpn", "ko", "vi", "tlh"]))
    assert not any(map(ter_has_words, ["th", "lao", "km", "mya_Mymr", "bo", "dz", "ja-Hira"]))
