"""Words, sentences and lengths in scripts that have their own ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.clean import clean_pair, clean_pieces
from finetune_trainer.data.ratios import breaks_ratio, usual_ratio
from finetune_trainer.data.report import summary_line
from finetune_trainer.data.staging import StagedSource, read_staged, stage_source
from finetune_trainer.data.words import count_words, pieces_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Three plain words", 3),
        ("a — b", 3),
        ("한국어는 띄어 쓴다", 3),
        ("यह एक वाक्य है", 4),
        ("", 0),
        ("我喜欢读这本书。", 4),  # 7 characters
        ("水", 1),
        ("学习Python编程", 3),
        ("これは本です", 3),
        ("カメラを買う", 3),
        ("ประเทศไทย", 2),  # 7 letters, ไ with the next
        ("ที่นี่", 1),
        ("ສະບາຍດີ", 2),
        ("ភាសាខ្មែរ", 2),
        ("မြန်မာ", 1),
        ("བོད་སྐད།", 2),
    ],
)
def test_words_are_counted_as_the_script_has_them(text: str, words: int) -> None:
    assert count_words(text) == words


def test_a_long_sentence_without_blanks_is_many_words() -> None:
    assert clean_pair(("word " * 60, "字" * 200), Clean(max_length_ratio=100)) == "tooLong"
    assert clean_pair(("word " * 60, "字" * 100), Clean(max_length_ratio=100)) != "tooLong"
    assert clean_pair(("one two three", "我们都很好啊"), Clean(min_words=3)) == ("one two three", "我们都很好啊")
    assert clean_pair(("one two three", "我们好"), Clean(min_words=3)) == "tooShort"


def test_pieces_of_chinese_end_with_its_sentences() -> None:
    text = "今天天气很好。我们去公园散步吧!「你也来吗?」他问道。"
    text = text.replace("!", "\uff01").replace("?", "\uff1f")
    pieces = list(pieces_of(text, 9))
    assert "".join(pieces) == text
    assert all(piece[-1] in "。\uff01」" for piece in pieces)
    assert all(count_words(piece) <= 9 for piece in pieces)


def test_pieces_of_thai_and_khmer_end_at_blanks_and_never_within_a_syllable() -> None:
    assert list(pieces_of("เขาไปตลาด แม่อยู่บ้าน", 3)) == ["เขาไปตลาด", "แม่อยู่บ้าน"]
    for piece in pieces_of("เ\u0e01" * 30 + "ស្ត្រី" * 30, 2):
        assert piece[-1] not in "\u0e40\u17d2"
        assert piece[0] != "\u17d2"


@given(st.text(st.sampled_from("ab .。字かกเ\u0e34ខ\u17d2မ་། 「」—"), max_size=80), st.integers(1, 6))
def test_pieces_lose_nothing_in_any_script(text: str, longest: int) -> None:
    pieces = list(pieces_of(text, longest))
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(pieces)


@given(st.lists(st.sampled_from(["word", "字字", "ไป", "end."]), min_size=1, max_size=60), st.integers(1, 6))
def test_pieces_are_never_too_long_in_any_script(words: list[str], longest: int) -> None:
    found = clean_pieces(" ".join(words), Clean(max_words=longest))
    assert not isinstance(found, str)
    assert all(count_words(piece) <= longest for piece in found)


EN = "The committee meets again on Thursday to vote on item {}."
ZH = "委员会将于星期四再次开会就第{}项进行表决。"


def staged(folder: Path, pairs: list[tuple[str, str]], languages: tuple[str, str] = ("en", "zh")) -> StagedSource:
    (folder / "c.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    source = DataSource(name="c", type="Parallel", languages=list(languages), uri=f"file://{folder}/c.tsv")
    found = stage_source(source, Clean(), folder / "c.arrow", lambda _: None)
    found.tally.kept = sum(batch.num_rows for batch in read_staged(found))
    return found


@pytest.mark.parametrize("count", [3, 200])
def test_a_language_pair_of_unequal_lengths_is_kept_and_its_outliers_go(count: int, tmp_path: Path) -> None:
    pairs = [(EN.format(i), ZH.format(i)) for i in range(count)]
    odd = [("Short, but far too much for it.", ZH.format(1) * 3), (EN.format("of a very long agenda ") * 3, "表决")]
    found = staged(tmp_path, [*pairs, *odd])
    assert found.tally.dropped == {"lengthRatio": 2}
    assert found.tally.kept == count
    turned = staged(tmp_path, [(b, a) for a, b in [*pairs, *odd]], ("zh", "en"))
    assert turned.tally.dropped == {"lengthRatio": 2}
    assert turned.tally.usual_ratio == pytest.approx(1 / (found.tally.usual_ratio or 0), rel=0.01)


def test_languages_of_like_length_are_measured_against_equal_length() -> None:
    spanish = [("x" * 100, "y" * (100 + i % 30)) for i in range(200)]
    assert usual_ratio(spanish, ["en", "es"], 1.5) == 1.0
    assert not breaks_ratio(("x" * 100, "y" * 150), 1.5, 1.0)
    assert breaks_ratio(("x" * 100, "y" * 151), 1.5, 1.0)
    assert not breaks_ratio(("x" * 2, "y" * 19), 1.5, 1.0)


def test_a_rule_that_takes_most_of_a_source_is_warned_of(tmp_path: Path) -> None:
    found = staged(
        tmp_path, [*[(f"Django {i}", f"django {i}") for i in range(30)], *[(f"row {i}", "字") for i in range(9)]]
    )
    line = summary_line([found])
    assert line.startswith("9 pairs kept of 39 (30 copy); ")
    assert len(summary_line([found] * 50)) < 512
    assert summary_line([found] * 50).endswith("; and more")
    assert "warning: copy took 30 of 39 rows of source 'c': see data.clean.dropCopies" in line
    found = staged(tmp_path, [(EN.format(i), ZH.format(i)) for i in range(30)] + [("same", "same")] * 9)
    assert summary_line([found]) == "30 pairs kept of 39 (9 copy)"
