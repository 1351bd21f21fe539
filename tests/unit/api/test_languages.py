"""Codes of languages in all the ways in which people write them."""

from __future__ import annotations

import pytest

from finetune_api.languages import normalise_language, writes_blanks


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
