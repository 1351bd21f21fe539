from __future__ import annotations

import pytest

from finetune_api.registries import TASKS
from finetune_trainer.data.units import CHARACTERS, WORDS
from finetune_trainer.tasks.translation.diagnostics import diagnose, is_copy, loops
from finetune_trainer.tasks.translation.kept import KINDS
from finetune_trainer.tasks.translation.language import learn_profile
from unit.evaluation.samples import corpus

ENGLISH, SPANISH = corpus(300)
PROFILE = learn_profile(ENGLISH[:200], SPANISH[:200])


def test_the_two_languages_are_told_apart_on_texts_not_learnt_from() -> None:
    assert sum(map(PROFILE.looks_like_source, ENGLISH[200:])) >= 95
    assert sum(map(PROFILE.looks_like_source, SPANISH[200:])) == 0


@pytest.mark.parametrize("text", ["", "42", "OK", "%(count)s", "日本語"])
def test_text_that_says_nothing_is_not_called_off_target(text: str) -> None:
    assert not PROFILE.looks_like_source(text)


@pytest.mark.parametrize(
    "text",
    ["no no no", "el archivo el archivo el archivo", "a b c d a b c d a b c d", "jajajajajajajaja", "-----------"],
)
def test_loops_are_found(text: str) -> None:
    assert loops(text)


@pytest.mark.parametrize("text", ["", "very very good", "El archivo abre el archivo.", "...", "1000000", "banana"])
def test_ordinary_text_is_no_loop(text: str) -> None:
    assert not loops(text)


def test_copies_are_found_but_for_case_and_blanks() -> None:
    assert is_copy("The file.", "the  file.")
    assert not is_copy("The file.", "El archivo.")
    assert not is_copy("", "")


def test_rates_and_what_the_reference_does_too() -> None:
    source = ENGLISH[0]
    rates = diagnose(
        [source, source, source, "OK", "wait ..........."],
        [SPANISH[0], SPANISH[0], SPANISH[0], "OK", "espere ..........."],
        [source, "", "no no no", "OK", "espere ..........."],
        PROFILE,
    )
    assert [rates[name] for name in ("offTarget", "copies", "empty", "repetition")] == [0.2, 0.2, 0.2, 0.2]
    assert (*rates, *KINDS, "termsLost", "genderGap") == TASKS["Translation"].diagnostics


def test_between_close_languages_outputs_are_not_off_target_because_references_are() -> None:
    """Half of the right outputs look like the source, and half of the references, but not the same half."""
    outputs, references = [SPANISH[0], ENGLISH[1]] * 10, [ENGLISH[0], SPANISH[1]] * 10
    sources = ["x"] * 20
    assert diagnose(sources, references, outputs, PROFILE)["offTarget"] == 0
    assert diagnose(sources, references, ENGLISH[:20], PROFILE)["offTarget"] == 0.5


def test_the_length_ratio_is_that_of_all_characters() -> None:
    assert diagnose(["x", "x"], ["aaaa", "bb"], ["aa", "b"], PROFILE)["lengthRatio"] == 0.5


@pytest.mark.parametrize(
    "text",
    ["我喜欢我喜欢我喜欢", "ファイルを開くファイルを開くファイルを開く", "เปิดไฟล์เปิดไฟล์เปิดไฟล์", "ཡིག་ཆ་ཡིག་ཆ་ཡིག་ཆ་"],
)
def test_loops_are_found_where_there_are_no_blanks(text: str) -> None:
    assert loops(text, CHARACTERS)
    assert not loops(text, WORDS)


@pytest.mark.parametrize("text", ["", "哈哈哈", "—————", "12.12.12", "いろいろな本", "1000000"])
def test_ordinary_text_without_blanks_is_no_loop(text: str) -> None:
    assert not loops(text, CHARACTERS)


def test_copies_do_not_depend_on_blanks_where_they_part_no_words() -> None:
    assert is_copy("打开 文件。", "打开文件。", CHARACTERS)
    assert not is_copy("打开 文件。", "打开文件。", WORDS)
    assert not is_copy("打开文件。", "关闭文件。", CHARACTERS)


def test_the_length_ratio_counts_a_letter_with_its_signs_as_one() -> None:
    assert diagnose(["x"], ["ที่น้ำ"], ["กา"], PROFILE, CHARACTERS)["lengthRatio"] == 1.0


def test_a_sentence_without_blanks_that_holds_a_number_is_still_in_its_language() -> None:
    chinese = ["打开第3个文件并保存更改", "关闭2个窗口之后再试一次", "删除这10个文件吗"] * 5
    profile = learn_profile(chinese, SPANISH[:15])
    assert profile.looks_like_source("打开第5个文件并保存更改之后关闭窗口再试一次")
