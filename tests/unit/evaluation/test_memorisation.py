"""What a model repeats of its training, against what it can guess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_api.evaluate import Memorisation
from finetune_api.refusals import refusals
from finetune_trainer.evaluation.memorisation import Targets, open_targets, seen_among
from unit.api.test_methods import spec
from unit.evaluation.samples import alone
from unit.evaluation.test_parts import make_test_set

LONG = "uno dos tres cuatro cinco seis siete ocho"


class Split:
    """Rows of one side."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def text(self, language: str) -> list[str]:
        assert language == "es"
        return self.texts


def targets(trained: list[str], held_out: list[str], language: str = "es", pool: list[str] | None = None) -> Targets:
    texts: Any = Split(trained if pool is None else pool)
    return Targets("ui", language, texts, range(len(texts.texts)), trained, held_out)


def test_a_target_counts_if_its_rest_follows_word_by_word() -> None:
    asked = targets([LONG, LONG, LONG], [LONG, f"{LONG} nueve"])
    assert asked.halves[0] == ("uno dos tres cuatro", "cinco seis siete ocho")
    assert asked.halves[4] == ("uno dos tres cuatro cinco", "seis siete ocho nueve")
    outputs = ["cinco seis  siete ocho y más", "cinco seis siete ochos", "", "seis", "seis siete ocho nueve"]
    assert asked.continued(outputs) == [True, False, False, False, True]
    report = asked.report(outputs, ["", "", "", "cinco seis siete ocho", ""], "m.tsv", [])
    assert report.continued == pytest.approx(1 / 3)
    assert report.held_out_continued == 0.5
    assert report.gap == pytest.approx(1 / 3 - 0.5)
    assert (report.baseline_continued, report.baseline_gap) == (0.0, -0.5)
    assert [*asked.columns(outputs, None)] == ["kind", "beginning", "rest", "continuation"]


def test_without_held_out_targets_there_is_no_gap() -> None:
    report = targets([LONG], []).report(["cinco seis siete ocho"], None, "m.tsv", [])
    assert (report.continued, report.held_out_continued, report.gap, report.baseline_gap) == (1.0, None, None, None)
    assert targets([LONG], []).notes == ["Memorisation: none of the held-out targets of 'ui' has 8 to 64 words."]


def test_characters_where_no_blanks_part_words() -> None:
    text = "あいうえおかきくけこさしすせそたちつてと"
    asked = targets([text], [], "ja")
    assert asked.halves == [(text[:10], text[10:])]
    assert asked.continued([text[10:] + "な"]) == [True]


def test_outputs_that_are_training_targets_and_not_the_reference() -> None:
    pool = [LONG, f"{LONG} nueve", "sí"]
    asked = targets([], [], pool=pool)
    test_set = replace(make_test_set(["a"] * 5), references=alone(["x", LONG, "x", "x", "x"]))
    outputs = [f" {LONG}", LONG, "sí", f"{LONG} diez", f"{LONG}  nueve"]
    # The second is its reference, the third too short to tell.
    model_only = asked.copied(test_set, 0, outputs, None)
    assert (model_only.outputs, model_only.baseline_share) == (3, None)
    assert model_only.share == pytest.approx(2 / 3)
    assert asked.copied(test_set, 0, outputs, [LONG] * 5).baseline_share == 1.0
    assert asked.fits(test_set)
    assert not asked.fits(replace(test_set, language="fr"))
    assert seen_among({LONG}, iter([])) == set()


def test_only_jobs_that_adapt_to_translation_are_looked_at() -> None:
    job = spec({"method": "Full"}).to_json_object()
    job["evaluate"] = {"tasks": [{"name": "t", "source": "ui", "direction": "en-es"}], "memorisation": {}}
    assert refusals(type(spec({"method": "Full"})).from_json_object(job)) == []
    del job["adapt"]
    (problem,) = refusals(type(spec({"method": "Full"})).from_json_object(job))
    assert str(problem).startswith("spec.evaluate.memorisation: it looks at what an adaptation to Translation")


def test_nothing_is_opened_that_nobody_asked_for(tmp_path: Path) -> None:
    nothing: Any = None
    assert open_targets(None, spec({"method": "Full"}), nothing) is None
    assert open_targets(Memorisation(), spec({"method": "Full"}).model_copy(update={"adapt": None}), nothing) is None
