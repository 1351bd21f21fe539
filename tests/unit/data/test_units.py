"""In what lengths are counted, by the script of the language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.data.units import CHARACTERS, WORDS, Unit, count_characters, unit_of


def test_words_are_counted_where_there_are_blanks_between_them() -> None:
    assert {unit_of(code) for code in ("en", "eng_Latn", "kor_Hang", "vi", "ja-Latn", "tlh", "")} == {WORDS}
    unspaced = ("zh", "zho_Hant", "jpn", "tha_Thai", "lo", "khm", "my", "mya_Mymr", "bod", "dz", "zh-Hans-CN")
    assert {unit_of(code) for code in unspaced} == {CHARACTERS}


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("", []),
        ("水壶 在", ["水", "壶", "在"]),
        ("ที่น้ำ", ["ที่", "น้ำ"]),
        ("བོད་", ["བོ", "ད", "་"]),
        ("か\u3099GPU", ["か\u3099", "G", "P", "U"]),
    ],
)
def test_a_character_has_its_signs_with_it(text: str, characters: list[str]) -> None:
    assert CHARACTERS.split(text) == characters


@given(st.text(alphabet="a水ที่ \u3000\n", max_size=30), st.sampled_from([WORDS, CHARACTERS]))
def test_pieces_give_the_text_again_but_for_its_blanks(text: str, unit: Unit) -> None:
    assert unit.joint.join(unit.pieces(text)) == " ".join(text.split())
    assert "".join(unit.split(text)) == "".join(text.split())


def test_characters_of_any_script_are_counted_with_blanks() -> None:
    assert [count_characters(text) for text in ("ab c", "é", "e\u0301", "ที่ น้ำ")] == [4, 1, 1, 3]
