"""Buckets, highlights, gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetune_api.evaluate import EvaluationTask, Gate, GateRequirement
from finetune_api.report import GateResult, Score, TaskReport, Verdict
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.buckets import score_buckets
from finetune_trainer.evaluation.gate import check_gate, refuse_empty_requirements
from finetune_trainer.evaluation.highlights import Segments, pick_highlights
from finetune_trainer.evaluation.outcome import conclude
from finetune_trainer.metrics import create_metric
from finetune_trainer.tasks.translation.examples import Examples
from finetune_trainer.tasks.translation.language import learn_profile
from finetune_trainer.tasks.translation.task import TranslationTask
from finetune_trainer.tasks.translation.test_set import TranslationTestSet
from unit.evaluation.samples import alone, corpus, damage


def make_test_set(sources: list[str], similarity: list[float] | None = None) -> TranslationTestSet:
    examples = None
    if similarity is not None:
        examples = Examples([[] for _ in sources], np.array([similarity], np.float32).T)
    return TranslationTestSet(
        task=EvaluationTask(name="en-es", source="ui", direction="en-es"),
        sources=sources,
        references=alone(sources),
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
    return plain.model_copy(
        update={"baseline": baseline, "delta": value - baseline, "p_value": p, "p_adjusted": p, "verdict": verdict}
    )


def task(*scores: Score, shots: int = 0) -> TaskReport:
    return TaskReport(
        name="en-es", type="Translation", shots=shots, segments=10, hypotheses="", scores=list(scores)
    )  # fmt: skip


def test_length_buckets_hold_every_segment_once_and_score_their_part() -> None:
    sources = ["one", "one two three", "a b c d e f", " ".join("x" * 50), ""]
    references = ["uno", "uno dos tres", "a b c d e f", "x", "y"]
    metric = create_metric("chrF++", "es")
    statistics = metric.statistics(["uno", "nada", "a b c d e f", "x", "y"], alone(references))
    grouping = TranslationTask().groupings(make_test_set(sources), 0)["length"]
    buckets = score_buckets(grouping, metric, statistics, statistics)
    assert [(b.name, b.segments) for b in buckets] == [
        ("1–2 words", 2), ("3–5 words", 1), ("6–10 words", 1), ("41+ words", 1)
    ]  # fmt: skip
    assert buckets[1].score == buckets[1].baseline == metric.score(statistics[1])
    assert score_buckets(grouping, metric, statistics, None)[0].baseline is None


def test_similarity_buckets_take_both_ends() -> None:
    metric = create_metric("BLEU", "es")
    statistics = metric.statistics(["a"] * 5, alone(["a"] * 5))
    similar = make_test_set(["a"] * 5, [0.0, 0.31, 0.9, 1.0, 1.0000001])
    buckets = score_buckets(TranslationTask().groupings(similar, 1)["similarity"], metric, statistics, None)
    assert [(b.name, b.segments) for b in buckets] == [("0.0–0.3", 1), ("0.3–0.5", 1), ("0.9–1.0", 3)]


def test_domains_are_parts_the_largest_first_and_the_smallest_together() -> None:
    metric = create_metric("BLEU", "es")
    about = [f"d{i:02}" for i in range(26)] + ["law", "law", ""]
    statistics = metric.statistics(["a"] * len(about), [("a",)] * len(about))
    test_set = replace(make_test_set(["a"] * len(about)), domains=about)
    buckets = score_buckets(TranslationTask().groupings(test_set, 0)["domain"], metric, statistics, None)
    assert [(b.name, b.segments) for b in buckets[:3]] == [("law", 2), ("(none)", 1), ("d00", 1)]
    assert (buckets[-1].name, buckets[-1].segments) == ("4 others", 4)
    assert "domain" not in TranslationTask().groupings(make_test_set(["a"]), 0)


def test_highlights_are_what_changed_most() -> None:
    sources, references = corpus(60)
    baseline = damage(references, 0.5, 1)
    hypotheses = list(baseline)
    hypotheses[7], baseline[7] = references[7], "¿?"
    baseline[9], hypotheses[9] = references[9], "¿?"
    metric = create_metric("chrF++", "es")
    statistics, before = (metric.statistics(texts, alone(references)) for texts in (hypotheses, baseline))
    found = pick_highlights(Segments(sources, references, hypotheses, baseline), metric, statistics, before)
    assert [e.source for e in found.most_improved] == [sources[7]]
    assert found.most_improved[0].score == 100
    assert [e.source for e in found.most_worsened] == [sources[9]]
    assert len(found.worst) == 20
    assert found.worst[0].hypothesis == "¿?"
    unpaired = pick_highlights(Segments(sources, references, hypotheses, None), metric, statistics, None)
    assert (unpaired.most_improved, unpaired.most_worsened, unpaired.worst[0].baseline) == ([], [], "")


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
    result = check_gate(Gate(require=[need]), [scores], [])
    assert (result.passed, result.checks[0].passed) == (passed, passed)


def test_without_baseline_a_comparison_is_not_met() -> None:
    need = GateRequirement(metric="BLEU", task="en-es", at_least_baseline=True)
    check = check_gate(Gate(require=[need]), [task(score("BLEU", 20))], []).checks[0]
    assert not check.passed
    assert check.requirement == "BLEU of en-es (0-shot) not worse than the baseline at p < 0.05"
    assert "no baseline" in check.detail


def test_the_gate_goes_by_the_adjusted_p() -> None:
    need = GateRequirement(metric="BLEU", task="en-es", better_than_baseline=True)
    one = score("BLEU", 20, 18, 0.03, "Better")
    assert check_gate(Gate(require=[need]), [task(one)], []).passed
    many = one.model_copy(update={"p_adjusted": 0.18, "verdict": "NoDifference"})
    check = check_gate(Gate(require=[need]), [task(many)], []).checks[0]
    assert (check.passed, check.detail) == (False, "20.00 against 18.00, p = 0.18")


@pytest.mark.parametrize(
    ("requirement", "passed", "words"),
    [
        ({"diagnostic": "repetition", "maximum": 0.05}, True, "repetition of en-es (0-shot) at most 5.0 %"),
        ({"diagnostic": "repetition", "maximum": 0.03}, False, "repetition of en-es (0-shot) at most 3.0 %"),
        (
            {"diagnostic": "lengthRatio", "minimum": 0.7, "maximum": 1.4},
            False,
            "length ratio of en-es (0-shot) at least 0.70 and at most 1.40",
        ),
        ({"diagnostic": "lengthRatio", "minimum": 0.05}, True, "length ratio of en-es (0-shot) at least 0.05"),
        ({"diagnostic": "copies", "maximum": 1}, False, "copies of en-es (0-shot) at most 100.0 %"),
        ({"diagnostic": "repetition", "maximum": 1, "shots": 1}, False, "repetition of en-es (1-shot) at most 100.0 %"),
    ],
)
def test_the_gate_may_demand_diagnostics(requirement: dict[str, object], passed: bool, words: str) -> None:
    scores = task(score("BLEU", 20)).model_copy(update={"diagnostics": {"repetition": 0.04, "lengthRatio": 0.05}})
    need = GateRequirement.model_validate({"task": "en-es", **requirement})
    refuse_empty_requirements(Gate(require=[need]))
    check = check_gate(Gate(require=[need]), [scores], []).checks[0]
    assert (check.passed, check.requirement) == (passed, words)
    assert check.detail in ("4.0 %", "0.05", "this was not counted")


UNUSABLE = {"repetition": 0.5}


def gate_of(tests: list[TaskReport], *needs: GateRequirement, **options: bool) -> GateResult:
    concluded = conclude(tests, 0.05)
    return check_gate(Gate(require=list(needs), **options), concluded.tasks, concluded.findings)


def test_a_gate_asks_for_usable_outputs_of_the_tests_it_names() -> None:
    needs = [GateRequirement(metric=name, task="en-es", better_than_baseline=True) for name in ("BLEU", "TER")]
    scores = [score("BLEU", 30, 20, 0.001, "Better"), score("TER", 60, 80, 0.001, "Better")]
    good = task(*scores)
    bad = good.model_copy(update={"diagnostics": UNUSABLE})
    other = bad.model_copy(update={"shots": 1})

    checks = gate_of([good, other], *needs).checks
    assert [(check.requirement, check.passed) for check in checks[2:]] == [("usable outputs of en-es (0-shot)", True)]
    failed = gate_of([bad], *needs)
    assert [check.passed for check in failed.checks] == [True, True, False]
    assert not failed.passed
    assert failed.checks[2].detail == "repetition 50.0 %; expected at most 5 %"
    allowed = gate_of([bad], *needs, require_usable=False)
    assert allowed.passed
    assert len(allowed.checks) == 2


def test_a_requirement_that_requires_nothing_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"gate\.require\[0\] requires nothing"):
        refuse_empty_requirements(Gate(require=[GateRequirement(metric="BLEU", task="en-es")]))
    with pytest.raises(BadConfiguration, match="nothing of repetition of en-es"):
        refuse_empty_requirements(Gate(require=[GateRequirement(diagnostic="repetition", task="en-es")]))
    refuse_empty_requirements(None)
