"""Noise in sources: by seed and text, and nothing that is not typed."""

from __future__ import annotations

from random import Random

import pytest

from finetune_api.evaluate import EvaluationTask
from finetune_trainer.evaluation.noises import noised_test_sets
from finetune_trainer.evaluation.noises.case import small_letters
from finetune_trainer.evaluation.noises.diacritics import without_diacritics
from finetune_trainer.evaluation.noises.typos import SHARE, with_typos
from finetune_trainer.tasks import interface

CHANCE = Random(1)
TEXT = "Please remember that several customers opened their accounts yesterday evening without a password. "


@pytest.mark.parametrize(
    ("text", "plain"),
    [("El año, ¿qué?", "El ano, ¿que?"), ("Đà Nẵng", "Đa Nang"), ("किताब", "किताब"), ("กำลัง", "กำลัง")],
)
def test_diacritics_go_and_vowel_signs_stay(text: str, plain: str) -> None:
    assert without_diacritics(text, CHANCE) == plain


def test_capitals_go() -> None:
    assert small_letters("The ÑANDÚ of 中国", CHANCE) == "the ñandú of 中国"


def test_a_tenth_of_the_long_words_has_one_mistake() -> None:
    words = (TEXT * 60).split()
    noised = with_typos(TEXT * 60, Random(3)).split()
    assert len(noised) == len(words)
    changed = [(word, typo) for word, typo in zip(words, noised, strict=True) if word != typo]
    long = sum(len(word.strip(".")) >= 4 for word in words)
    assert 0.7 * SHARE < len(changed) / long < 1.3 * SHARE
    for word, typo in changed:
        assert (word[0], word[-1]) == (typo[0], typo[-1])
        assert abs(len(word) - len(typo)) <= 1


def test_what_is_not_typed_stays() -> None:
    text = "%(customer)s {customer} <strong> &nbsp; https://example.test/accounts user@example.test 123456 "
    kept = ("%(customer)s", "{customer}", "<strong>", "&nbsp;", "123456")
    noised = with_typos(text * 50, Random(1))
    assert all(noised.count(word) == 50 for word in kept)


def test_a_noised_test_set_is_the_same_test_with_other_sources() -> None:
    task = EvaluationTask(name="en-es", source="ui", direction="en-es", robustness=["Case", "Typos"])
    sources = [f"{TEXT}{i}" for i in range(30)]
    clean = interface.TestSet(task=task, sources=sources, references=[("x",)] * 30)
    case, typos = noised_test_sets([clean], 7)
    assert (case.test_set.task.name, case.test_set.task.metrics) == ("en-es.case", ["chrF++"])
    assert (case.changed, case.test_set.references) == (1.0, clean.references)
    assert 0 < typos.changed < 1
    again = noised_test_sets([interface.TestSet(task=task, sources=sources[::-1], references=[("x",)] * 30)], 7)[1]
    assert again.test_set.sources[::-1] == typos.test_set.sources
    assert noised_test_sets([clean], 8)[1].test_set.sources != typos.test_set.sources
