"""Cleaning rules, by example and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import Clean
from finetune_trainer.data.clean import clean_pair, clean_pieces, clean_text

RULES = Clean()


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  two\t blanks \u00a0", "two blanks"),
        ("<b>bold</b> &amp; <a href='x'>link</a>", "bold & link"),
        ("a < b and c > d", "a < b and c > d"),
        ("e\u0301l", "él"),
        ("zero\u200bwidth\ufeff\x07", "zero width"),
    ],
)
def test_text(raw: str, clean: str) -> None:
    assert clean_text(raw, RULES) == clean


@given(st.text(max_size=200))
def test_cleaning_a_clean_text_changes_nothing(text: str) -> None:
    rules = Clean(remove_html=False)
    once = clean_text(text, rules)
    assert clean_text(once, rules) == once


@pytest.mark.parametrize(
    ("pair", "rule"),
    [
        (("", "algo"), "empty"),
        (("<br>", "algo"), "empty"),
        (("Django", "django"), "copy"),
        (("word " * 71, "palabra " * 71), "tooLong"),
        (("a long enough English side", "corto"), "lengthRatio"),
    ],
)
def test_each_rule_drops_its_pair(pair: tuple[str, str], rule: str) -> None:
    assert clean_pair(pair, RULES) == rule


def test_short_strings_may_differ_in_length() -> None:
    assert clean_pair(("Log in", "Iniciar sesión"), RULES) == ("Log in", "Iniciar sesión")


def test_a_pair_of_few_words_can_be_dropped() -> None:
    assert clean_pair(("one two", "uno dos"), Clean(min_words=3)) == "tooShort"


@given(st.lists(st.sampled_from(["word", "end.", "what?"]), min_size=1, max_size=100), st.integers(1, 12))
def test_pieces_lose_no_word_and_are_never_too_long(words: list[str], longest: int) -> None:
    pieces = clean_pieces(" ".join(words), Clean(max_words=longest))
    assert not isinstance(pieces, str)
    found = list(pieces)
    assert " ".join(found).split() == words
    assert all(len(piece.split()) <= longest for piece in found)


def test_pieces_end_with_sentences_where_they_can() -> None:
    pieces = clean_pieces("One two. Three four five. Six.", Clean(max_words=5))
    assert not isinstance(pieces, str)
    assert list(pieces) == ["One two. Three four five.", "Six."]
