"""Rivals: hypotheses from a file, pasted fuzzy matches, and what the gate and the sentence say of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_api.evaluate import EvaluationTask, Gate, GateRequirement, Rival, Significance
from finetune_api.report import RivalReport, RivalScore, Score, TaskReport
from finetune_trainer.context import StageContext
from finetune_trainer.data.alignment import Alignment
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadData, StageFailure
from finetune_trainer.evaluation.answers import SystemAnswers
from finetune_trainer.evaluation.assess import SystemOutputs, assess, task_statistics
from finetune_trainer.evaluation.gate import check_gate
from finetune_trainer.evaluation.outcome import conclude
from finetune_trainer.evaluation.rivals import open_rivals
from finetune_trainer.evaluation.sentence import verdict_sentence
from finetune_trainer.tasks.translation.examples import Examples
from finetune_trainer.tasks.translation.language import learn_profile
from finetune_trainer.tasks.translation.test_set import TranslationTestSet
from tiny import tiny_plan
from unit.evaluation.samples import alone, corpus, damage

SOURCES, REFERENCES = corpus(120)
PROFILE = learn_profile(SOURCES, REFERENCES)


def make_test_set(segments: int, shots: Sequence[int] = (0,), **fields: Any) -> TranslationTestSet:
    values: dict[str, Any] = {
        "task": EvaluationTask(name="en-es", source="bench", direction="en-es", shots=list(shots)),
        "sources": SOURCES[:segments],
        "references": alone(REFERENCES[:segments]),
        "language": "es",
        "direction": "en-es",
        "source_language": "en",
        "profile": PROFILE,
        "template": "AdaptiveMT",
        "examples": None,
        "alignments": (
            Alignment(segments + 2, "rows of source 'bench'", np.arange(1, segments + 1)),
            Alignment(segments, "segments of the test set", np.arange(segments)),
        ),
    }
    return TranslationTestSet(**(values | fields))


def answers(folder: Path, rival: dict[str, Any], test_set: TranslationTestSet) -> SystemAnswers:
    context = StageContext.single(tiny_plan(folder))
    (opened,) = open_rivals(context, [Rival.from_json_object(rival)], [test_set])
    return opened.answer(lambda _: None)


def agency(folder: Path, content: bytes) -> dict[str, Any]:
    (folder / "agency.es").write_bytes(content)
    return {"name": "agency", "hypotheses": [{"task": "en-es", "uri": f"file://{folder / 'agency.es'}"}]}


def lines(count: int) -> bytes:
    return "".join(f"línea {i}\n" for i in range(count)).encode()


def test_a_line_is_a_segment_or_a_row_of_the_source(tmp_path: Path) -> None:
    by_segment = answers(tmp_path, agency(tmp_path, lines(3)), make_test_set(3, shots=(0, 1)))
    assert by_segment.outputs["en-es", 0].texts == ["línea 0", "línea 1", "línea 2"]
    assert by_segment.outputs["en-es", 1] is by_segment.outputs["en-es", 0]
    by_row = answers(tmp_path, agency(tmp_path, lines(5)), make_test_set(3))
    assert by_row.outputs["en-es", 0].texts == ["línea 1", "línea 2", "línea 3"]


def test_a_line_is_read_as_references_are(tmp_path: Path) -> None:
    content = "\ufeff" + unicodedata.normalize("NFD", "canción\tdos  \n\n fin\r\n")
    found = answers(tmp_path, agency(tmp_path, content.encode()), make_test_set(3))
    assert found.outputs["en-es", 0].texts == ["canción dos", "", "fin"]
    assert found.notes == ["en-es, agency: 1 of 3 hypotheses are empty lines."]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lines(4),
            r"hypotheses\[0\].uri: .*agency.es has 4 lines, task 'en-es' expects 5 \(rows of source 'bench'\) or 3",
        ),
        (b"", "has 0 lines"),
        (b"\n\n\n", "nothing but empty lines"),
        (b"a\n\xe9\nb\n", r"agency.es:2 is not UTF-8 \(byte 1\)"),
        ("a\nb\nc\n".encode("utf-16"), "is UTF-16, UTF-8 was expected"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadData, match=message) as caught:
        answers(tmp_path, agency(tmp_path, content), make_test_set(3))
    assert caught.value.remedy


def test_what_is_wrong_with_all_rivals_is_told_at_once(tmp_path: Path) -> None:
    missing = {"name": "other", "hypotheses": [{"task": "en-es", "uri": "file:///nowhere/x.es"}]}
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "hub/base"}', "utf-8")
    (adapter / "adapter_model.safetensors").touch()
    given = [agency(tmp_path, lines(1)), missing, {"name": "m", "model": {"uri": f"file://{adapter}"}}]
    with pytest.raises(StageFailure) as caught:
        open_rivals(
            StageContext.single(tiny_plan(tmp_path)),
            [Rival.from_json_object(rival) for rival in given],
            [make_test_set(3)],
        )
    for words in ("rivals[0].hypotheses[0].uri", "no such file: /nowhere/x.es", "the base of the adapter", "hub/base"):
        assert words in caught.value.message
    assert "base.uri" in caught.value.remedy


def test_a_pasted_match_is_the_target_of_the_example(tmp_path: Path) -> None:
    examples = Examples([[("a", "uno")], [], [("b", "dos")]], np.array([[0.9], [0.0], [0.4]], np.float32))
    found = answers(tmp_path, {"name": "paste", "type": "FuzzyMatch"}, make_test_set(3, examples=examples))
    assert found.outputs["en-es", 0].texts == ["uno", "", "dos"]
    assert found.notes == ["en-es, paste: 1 segments have no fuzzy match; their hypothesis is empty."]


def outputs(test_set: TranslationTestSet, texts: list[str]) -> SystemOutputs:
    return SystemOutputs(texts, task_statistics(test_set, texts, Ranks()))


def test_rivals_are_scored_like_baselines_and_counted_in_the_family() -> None:
    test_set = make_test_set(120)
    good, bad = outputs(test_set, damage(REFERENCES, 0.2, 1)), outputs(test_set, damage(REFERENCES, 0.6, 2))
    report = assess(test_set, 0, good, bad, Significance(), "x.tsv", {"same": bad, "equal": good})
    same, equal = report.rivals
    for score, rival in zip(report.scores, same.scores, strict=True):
        assert (rival.score, rival.delta, rival.p_value) == (score.baseline, score.delta, score.p_value)
        assert (rival.delta_low, rival.delta_high) == (score.delta_low, score.delta_high)
    assert [(s.delta, s.p_value) for s in equal.scores] == [(0.0, 1.0)] * 3
    assert same.diagnostics == report.baseline_diagnostics
    (judged,) = conclude([report], 0.05).tasks
    assert [s.verdict for s in judged.rivals[0].scores] == ["Better"] * 3
    assert [s.verdict for s in judged.rivals[1].scores] == ["NoDifference"] * 3
    smallest = min(report.p_values)
    assert len(report.p_values) == 9
    assert judged.scores[0].p_adjusted == pytest.approx(9 * smallest)


def rival(name: str, delta: float, p_value: float) -> RivalReport:
    score = RivalScore(
        metric="chrF++", score=50 - delta, low=1, high=99, delta=delta, delta_low=delta - 1, delta_high=delta + 1,
        p_value=p_value,
    )  # fmt: skip
    return RivalReport(name=name, scores=[score])


def task(*rivals: RivalReport, shots: int = 0, baseline: bool = True) -> TaskReport:
    score = Score(metric="chrF++", score=50, low=49, high=51)
    if baseline:
        score = score.model_copy(
            update={"baseline": 40.0, "delta": 10.0, "delta_low": 9.0, "delta_high": 11.0, "p_value": 0.001}
        )
    return TaskReport(
        name="en-es", type="Translation", shots=shots, segments=500, hypotheses="", scores=[score], rivals=list(rivals)
    )


def test_the_sentence_names_rivals_last() -> None:
    one = conclude([task(rival("agency", -5, 0.001), rival("paste", 20, 0.001))], 0.05)
    assert verdict_sentence("adapted", one, None).endswith(
        " Against agency: worse (chrF++ 55.0 against 50.0). Against paste: better (chrF++ 30.0 against 50.0)."
    )
    several = [task(rival("agency", 1, 0.9), rival("paste", 20, 0.001)), task(rival("agency", 9, 0.001), shots=1)]
    assert verdict_sentence("adapted", conclude(several, 0.05), None).endswith(
        " Against agency: not different zero-shot and better one-shot. "
        "Against paste: better (chrF++ 30.0 against 50.0)."
    )
    alone = conclude([task(rival("paste", 20, 0.001), baseline=False)], 0.05)
    assert alone.outcome == "NotCompared"
    assert "there is no baseline to compare with. Against paste: better" in verdict_sentence("adapted", alone, None)


@pytest.mark.parametrize(
    ("need", "passed", "detail"),
    [
        ({"betterThan": "paste"}, True, "50.00 against 30.00 of paste, p = 0.003"),
        ({"betterThan": "agency"}, False, "50.00 against 51.00 of agency, p = 0.9"),
        (
            {"notWorseThan": "agency", "betterThan": "paste"},
            True,
            "50.00 against 30.00 of paste, p = 0.003; 50.00 against",
        ),
        ({"notWorseThan": "gone"}, False, "50.00; gone did not answer this test"),
        ({"betterThan": "baseline", "betterThanBaseline": True}, True, "50.00 against 40.00, p = 0.003"),
    ],
)
def test_the_gate_compares_with_any_of_them_by_name(need: dict[str, Any], passed: bool, detail: str) -> None:
    tasks = conclude([task(rival("agency", -1, 0.9), rival("paste", 20, 0.00133))], 0.05).tasks
    requirement = GateRequirement.from_json_object({"metric": "chrF++", "task": "en-es"} | need)
    check = check_gate(Gate(require=[requirement], require_usable=False), tasks, []).checks[0]
    assert check.passed == passed
    assert check.detail.startswith(detail)
