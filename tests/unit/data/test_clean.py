"""Cleaning rules, by example and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import Clean
from finetune_trainer.data.clean import clean_pair, clean_pieces, clean_text
from finetune_trainer.hashing import text_hash

RULES = Clean()


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  two\t blanks \u00a0", "two blanks"),
        ("<b>bold</b> &amp; <a href='x'>link</a>", "bold & link"),
        ("a < b and c > d", "a < b and c > d"),
        ("e\u0301l", "él"),
        ("zero\u200bwidth\ufeff\x07", "zerowidth"),
    ],
)
def test_text(raw: str, clean: str) -> None:
    assert clean_text(raw, RULES) == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Click <b>here</b>.", "Click here."),
        ("H<sub>2</sub>O and <SPAN class='x'>more</SPAN>", "H2O and more"),
        ("one<br>two<br/>three<BR />four", "one two three four"),
        ("<p>one</p><p>two</p>", "one two"),
        ("<ul><li>one</li><li>two</li></ul>", "one two"),
        ("Hello <name>, open <file> or <0>.", "Hello <name>, open <file> or <0>."),
        ("cp <source> <output>", "cp <source> <output>"),
        ("<title>Top</title><input type='text'/>", "Top"),
        ("<label>Name</label>: <code>x</code>", "Name: x"),
        ("<a %(link)s>here</a>, <a {link}>there</a>.", "here, there."),
        ("<input disabled>x<option selected>", "x"),
        ("<Answer: {question}>", "<Answer: {question}>"),
        ("if a <b and c> d", "if a <b and c> d"),
        ("write to <me@example.org>", "write to <me@example.org>"),
        ('<g id="1">kept</g>', '<g id="1">kept</g>'),
        ("https://example.org/?a=1&copy=1&region=2&lt=3", "https://example.org/?a=1&copy=1&region=2&lt=3"),
        ("AT&T &amp; R&D", "AT&T & R&D"),
        ("&lt;b&gt; &eacute;&#233;&#xE9; &hellip;", "<b> ééé …"),
        ("&notit; &nosuch; &;", "&notit; &nosuch; &;"),
        ("a &#0; b", "a \ufffd b"),
    ],
)
def test_markup_goes_and_what_only_looks_like_it_stays(raw: str, clean: str) -> None:
    assert clean_text(raw, RULES) == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("auf\u200clage wo\u2060rd \ufeffmark", "auflage word mark"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("क्\u200dष", "क्\u200dष"),
        ("ක්\u200dර", "ක්\u200dර"),
        ("\U0001f469\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\u200d\U0001f525", None),
        ("ខ្ញុំ\u200bទៅ\u200b\u200bផ្សារ", "ខ្ញុំ\u200bទៅ\u200bផ្សារ"),
        ("ไป\u200bตลาด\u200b here\u200b", "ไป\u200bตลาด here"),
        ("你\u200b好", "你好"),
        ("e\u200b\u0301", "é"),
        ("soft\u00adhyphen", "soft\u00adhyphen"),
        ("\u200f\u05e9\u05dc\u05d5\u05dd", "\u200f\u05e9\u05dc\u05d5\u05dd"),
    ],
)
def test_characters_without_width_stay_where_a_script_needs_them(raw: str, clean: str | None) -> None:
    assert clean_text(raw, RULES) == (raw if clean is None else clean)


@pytest.mark.parametrize(
    "other",
    ["The Café", "the caf\u00e9", "the cafe\u0301", "the ca\u00adfé", "\u200ethe\u200b café\ufeff", "the café\ufe0f"],
)
def test_texts_that_read_the_same_have_one_key(other: str) -> None:
    assert text_hash(other) == text_hash("the café")
    assert text_hash(other) != text_hash("the cafe")
    assert clean_pair((other, "the café"), Clean(normalise="None")) == "copy"


@given(st.text(st.sampled_from("aé\u0301\u200b\u200c\u200d\u2060\ufeffกខका\u0643 \x07\u2329\U0001f469"), max_size=12))
def test_cleaning_odd_characters_twice_changes_nothing(text: str) -> None:
    once = clean_text(text, RULES)
    assert clean_text(once, RULES) == once


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
