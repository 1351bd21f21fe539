"""Buckets, highlights, gate, verdict."""

from __future__ import annotations

import numpy as np
import pytest

from finetune_api.evaluate import EvaluationTask, Gate, GateRequirement
from finetune_api.report import GateCheck, GateResult, Score, TaskReport, Verdict
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.buckets import score_buckets
from finetune_trainer.evaluation.gate import check_gate, refuse_empty_requirements
from finetune_trainer.evaluation.highlights import Segments, pick_highlights
from finetune_trainer.evaluation.sentence import verdict_sentence
from finetune_trainer.metrics import create_metric
from finetune_trainer.tasks.translation.language import learn_profile
from finetune_trainer.tasks.translation.task import TranslationTask
from finetune_trainer.tasks.translation.test_set import Examples, TranslationTestSet
from unit.evaluation.samples import corpus, damage


def make_test_set(sources: list[str], similarity: list[float] | None = None) -> TranslationTestSet:
    examples = None
    if similarity is not None:
        examples = Examples([None] * len(sources), np.array(similarity, np.float32))
    return TranslationTestSet(
        task=EvaluationTask(name="en-es", source="ui", direction="en-es"),
        sources=sources,
        references=sources,
        language="es",
        direction="en-es",
        source_language="en",
        profile=learn_profile([], []),
        template="AdaptiveMT",
        examples=examples,
    )


def score(
    metric: str, value: float, baseline: float | None = None, p: float = 0.5, verdict: Verdict = "NoDifference"
) -> Score:
    plain = Score(metric=metric, score=value, low=value - 1, high=value + 1)
    if baseline is None:
        return plain
    return plain.model_copy(update={"baseline": baseline, "delta": value - baseline, "p_value": p, "verdict": verdict})


def task(*scores: Score, shots: int = 0) -> TaskReport:
    return TaskReport(
        name="en-es", type="Translation", shots=shots, segments=10, hypotheses="", scores=list(scores)
    )  # fmt: skip


def test_length_buckets_hold_every_segment_once_and_score_their_part() -> None:
    sources = ["one", "one two three", "a b c d e f", " ".join("x" * 50), ""]
    references = ["uno", "uno dos tres", "a b c d e f", "x", "y"]
    metric = create_metric("chrF++", "es")
    statistics = metric.statistics(["uno", "nada", "a b c d e f", "x", "y"], references)
    grouping = TranslationTask().groupings(make_test_set(sources), 0)["length"]
    buckets = score_buckets(grouping, metric, statistics, statistics)
    assert [(b.name, b.segments) for b in buckets] == [
        ("1–2 words", 2), ("3–5 words", 1), ("6–10 words", 1), ("41+ words", 1)
    ]  # fmt: skip
    assert buckets[1].score == buckets[1].baseline == metric.score(statistics[1])
    assert score_buckets(grouping, metric, statistics, None)[0].baseline is None


def test_similarity_buckets_take_both_ends() -> None:
    metric = create_metric("BLEU", "es")
    statistics = metric.statistics(["a"] * 5, ["a"] * 5)
    similar = make_test_set(["a"] * 5, [0.0, 0.31, 0.9, 1.0, 1.0000001])
    buckets = score_buckets(TranslationTask().groupings(similar, 1)["similarity"], metric, statistics, None)
    assert [(b.name, b.segments) for b in buckets] == [("0.0–0.3", 1), ("0.3–0.5", 1), ("0.9–1.0", 3)]


def test_highlights_are_what_changed_most() -> None:
    sources, references = corpus(60)
    baseline = damage(references, 0.5, 1)
    hypotheses = list(baseline)
    hypotheses[7], baseline[7] = references[7], "¿?"
    baseline[9], hypotheses[9] = references[9], "¿?"
    metric = create_metric("chrF++", "es")
    statistics, before = (metric.statistics(texts, references) for texts in (hypotheses, baseline))
    found = pick_highlights(Segments(sources, references, hypotheses, baseline), metric, statistics, before)
    assert [e.source for e in found.most_improved] == [sources[7]]
    assert found.most_improved[0].score == 100
    assert [e.source for e in found.most_worsened] == [sources[9]]
    assert len(found.worst) == 20
    assert found.worst[0].hypothesis == "¿?"
    alone = pick_highlights(Segments(sources, references, hypotheses, None), metric, statistics, None)
    assert (alone.most_improved, alone.most_worsened, alone.worst[0].baseline) == ([], [], "")


@pytest.mark.parametrize(
    ("requirement", "passed"),
    [
        ({"metric": "BLEU", "minimum": 20}, True),
        ({"metric": "BLEU", "minimum": 21}, False),
        ({"metric": "TER", "minimum": 60}, True),
        ({"metric": "TER", "minimum": 59}, False),
        ({"metric": "BLEU", "better_than_baseline": True}, True),
        ({"metric": "BLEU", "better_than_baseline": True, "significance": 0.001}, False),
        ({"metric": "BLEU", "at_least_baseline": True, "significance": 0.001}, True),
        ({"metric": "TER", "at_least_baseline": True}, False),
        ({"metric": "TER", "at_least_baseline": True, "significance": 0.001}, True),
        ({"metric": "BLEU", "minimum": 20, "better_than_baseline": True, "shots": 1}, False),
    ],
)
def test_the_gate(requirement: dict[str, object], passed: bool) -> None:
    scores = task(score("BLEU", 20, 18, 0.01, "Better"), score("TER", 60, 55, 0.01, "Worse"))
    need = GateRequirement.model_validate({"task": "en-es", **requirement})
    result = check_gate(Gate(require=[need]), [scores])
    assert (result.passed, result.checks[0].passed) == (passed, passed)


def test_without_baseline_a_comparison_is_not_met() -> None:
    need = GateRequirement(metric="BLEU", task="en-es", at_least_baseline=True)
    check = check_gate(Gate(require=[need]), [task(score("BLEU", 20))]).checks[0]
    assert not check.passed
    assert check.requirement == "BLEU of en-es (0-shot) not worse than the baseline at p < 0.05"
    assert "no baseline" in check.detail


def test_a_requirement_that_requires_nothing_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"gate\.require\[0\] requires nothing"):
        refuse_empty_requirements(Gate(require=[GateRequirement(metric="BLEU", task="en-es")]))
    refuse_empty_requirements(None)


BETTER = score("chrF++", 30, 20, 1 / 1001, "Better")
WORSE = score("TER", 80, 70, 0.02, "Worse")
SAME = score("BLEU", 5, 5.1)


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ([BETTER, BETTER], "The adapted model is better than its baseline in every measure (p < 0.001)."),
        ([WORSE], "The adapted model is worse than its baseline (p < 0.05)."),
        ([SAME], "No measure shows a difference between the adapted model and its baseline (p ≥ 0.05)."),
        (
            [BETTER, WORSE, SAME],
            (
                "The adapted model is better than its baseline in 1 of 3 measures (p < 0.001), "
                "worse in 1 of 3 measures (p < 0.05) and not different in 1."
            ),
        ),
        (
            [WORSE, SAME],
            "The adapted model is worse than its baseline in 1 of 2 measures (p < 0.05) and not different in 1.",
        ),
    ],
)
def test_the_verdict_in_a_sentence(scores: list[Score], sentence: str) -> None:
    assert verdict_sentence("adapted", [task(*scores)], None, 0.05, compared=True) == sentence


def test_the_verdict_without_baseline_and_with_a_gate() -> None:
    checks = [GateCheck(requirement="a", passed=True), GateCheck(requirement="b", passed=False)]
    gate = GateResult(passed=False, checks=checks)
    tasks = [task(score("chrF++", 23.44)), task(score("chrF++", 25), shots=1)]
    assert verdict_sentence("pretrained", tasks, gate, 0.05, compared=False) == (
        "The pretrained model reaches chrF++ 23.4 (en-es, 0-shot) and chrF++ 25.0 (en-es, 1-shot); "
        "there is no baseline to compare with. Gate failed (1 of 2 requirements not met)."
    )
    passed = GateResult(passed=True, checks=[])
    assert verdict_sentence("adapted", [task(BETTER)], passed, 0.05, compared=True).endswith(" Gate passed.")
