"""The verdict: the first metric leads, failures come first, and a model of no use is never called better."""

from __future__ import annotations

import pytest

from finetune_api.evaluate import EvaluationTask, Significance
from finetune_api.registries import DIAGNOSTICS, FEW_SEGMENTS, METRICS
from finetune_api.report import GateCheck, GateResult, Outcome, Score, TaskReport
from finetune_trainer.distributed import Ranks
from finetune_trainer.evaluation.assess import SystemOutputs, assess, task_statistics
from finetune_trainer.evaluation.findings import find_all
from finetune_trainer.evaluation.outcome import Conclusion, conclude, overall_outcome
from finetune_trainer.evaluation.sentence import verdict_sentence
from finetune_trainer.tasks.translation.language import learn_profile
from finetune_trainer.tasks.translation.test_set import TranslationTestSet
from unit.evaluation.samples import alone, corpus, damage

SOURCES, REFERENCES = corpus(150)
PROFILE = learn_profile(SOURCES, REFERENCES)
GOOD = damage(REFERENCES, 0.2, 1)
ALONE = Ranks()
WEAK = [" ".join(chr(97 + (ord(c) * 7 + 3) % 26) for c in text * 2) for text in REFERENCES]
"""As a model that has hardly learnt: long, and wrong."""


def judged(hypotheses: list[str], baseline: list[str] | None, segments: int = 150) -> Conclusion:
    """As evaluate does, from outputs on."""
    test_set = TranslationTestSet(
        task=EvaluationTask(name="en-es", source="ui", direction="en-es"),
        sources=SOURCES[:segments],
        references=alone(REFERENCES[:segments]),
        language="es",
        direction="en-es",
        source_language="en",
        profile=PROFILE,
        template="AdaptiveMT",
        examples=None,
    )
    systems = [
        None if texts is None else SystemOutputs(texts, task_statistics(test_set, texts, ALONE))
        for texts in (hypotheses, baseline)
    ]
    assert systems[0] is not None
    return conclude([assess(test_set, 0, systems[0], systems[1], Significance(), "x.tsv")], 0.05)


def said(concluded: Conclusion) -> str:
    return verdict_sentence("adapted", concluded, None)


def test_commas_against_a_weak_baseline_are_never_better() -> None:
    """TER improves, for a comma costs fewer edits than a wrong sentence; counted as a vote it said `better`."""
    concluded = judged([","] * 150, WEAK)
    by_metric = {score.metric: score.verdict for score in concluded.tasks[0].scores}
    assert (by_metric["chrF++"], by_metric["TER"]) == ("Worse", "Better")
    assert concluded.outcome == concluded.tasks[0].outcome == "NotUsable"
    sentence = said(concluded)
    assert sentence.startswith("The adapted model and its baseline are both unusable: chrF++ 0.")
    assert "length ratio 0.0" in sentence
    assert "Against its baseline the adapted model is worse: chrF++ " in sentence
    assert "TER" in sentence
    assert "contradicts." in sentence
    assert "is better" not in sentence


def test_commas_against_a_good_baseline_are_worse_and_not_usable() -> None:
    concluded = judged([","] * 150, GOOD)
    assert concluded.outcome == "NotUsable"
    assert said(concluded).startswith("The adapted model is not usable: length ratio 0.0")
    assert "worse: chrF++" in said(concluded)


@pytest.mark.parametrize(
    ("outputs", "failure"),
    [
        ([""] * 150, "empty"),
        (list(SOURCES), "copies"),
        (["no " * 12] * 150, "repetition"),
        ([f"{text} {text} {text} {text}" for text in REFERENCES], "lengthRatio"),
    ],
)
def test_each_failure_turns_the_verdict(outputs: list[str], failure: str) -> None:
    concluded = judged(outputs, WEAK)
    assert concluded.outcome == "NotUsable"
    assert failure in {f.name for f in concluded.findings if f.unusable and f.system == "Model"}
    assert DIAGNOSTICS[failure].title.lower() in said(concluded)


def test_a_good_model_is_better_and_the_failures_of_its_baseline_are_named() -> None:
    concluded = judged(GOOD, ["no " * 12] * 150)
    assert concluded.outcome == "Better"
    assert {f.system for f in concluded.findings} == {"Baseline"}
    assert "explains part of the difference: chrF++ " in " ".join(f.text for f in concluded.findings)
    assert "repetition 100.0 %" in " ".join(f.text for f in concluded.findings)
    assert said(concluded).startswith("The adapted model is better than its baseline: chrF++ ")
    assert said(concluded).endswith("BLEU and TER agree.")


def test_equal_systems_do_not_differ_and_have_no_failures() -> None:
    concluded = judged(GOOD, list(GOOD))
    assert (concluded.outcome, concluded.findings) == ("NoDifference", [])
    assert said(concluded).startswith("No significant difference between the adapted model and its baseline: chrF++ ")
    assert "+0.0 (95 % interval +0.0 to +0.0, p = 1)" in said(concluded)


def test_few_segments_warn_and_do_not_make_a_model_unusable() -> None:
    few = FEW_SEGMENTS - 1
    concluded = judged(GOOD[:few], damage(REFERENCES, 0.8, 2)[:few], few)
    assert concluded.outcome == "Better"
    (finding,) = [f for f in concluded.findings if f.name == "segments"]
    assert (finding.system, finding.unusable, finding.shots) == ("TestSet", False, None)
    assert finding.text == "en-es: only 99 segments; below 100 intervals are wide, and chance is large"
    assert not [f for f in judged(GOOD, None).findings if f.name == "segments"]


def test_failures_below_the_limit_of_use_are_named_only() -> None:
    outputs = ["", "", "", *GOOD[3:]]
    concluded = judged(outputs, damage(REFERENCES, 0.8, 2))
    assert concluded.outcome == "Better"
    (finding,) = concluded.findings
    assert not finding.unusable
    assert finding.text == "en-es zero-shot: empty 2.0 %, baseline 0.0 %; expected at most 1 %"


def score(metric: str, value: float, baseline: float, p: float = 2 / 1001) -> Score:
    delta = value - baseline
    figures = {"baseline": baseline, "delta": delta, "delta_low": delta - 1, "delta_high": delta + 1, "p_value": p}
    return Score(metric=metric, score=value, low=value - 1, high=value + 1).model_copy(update=figures)


def task(*scores: Score, shots: int = 0, name: str = "en-es", **diagnostics: float) -> TaskReport:
    return TaskReport(
        name=name, type="Translation", shots=shots, segments=500, hypotheses="", scores=list(scores),
        diagnostics=diagnostics,
    )  # fmt: skip


BETTER, WORSE, SAME = score("chrF++", 31.3, 18.4), score("chrF++", 20.0, 25.0), score("chrF++", 30.1, 30.0, 0.7)
UNUSABLE = score("chrF++", 8.6, 7.2)


@pytest.mark.parametrize(
    ("tasks", "outcome", "sentence"),
    [
        (
            [task(BETTER, score("BLEU", 20, 10), score("TER", 60, 80))],
            "Better",
            ("The adapted model is better than its baseline: chrF++ 18.4 → 31.3, +12.9 (95 % interval +11.9 to +13.9, "
            "p = 0.006). BLEU and TER agree."),
        ),
        (
            [task(BETTER, score("BLEU", 10, 10.1, 0.5), score("TER", 80, 60))],
            "Better",
            ("The adapted model is better than its baseline: chrF++ 18.4 → 31.3, +12.9 (95 % interval +11.9 to +13.9, "
            "p = 0.006). TER 60.0 → 80.0 contradicts. BLEU shows no significant difference."),
        ),
        (
            [task(WORSE)],
            "Worse",
            ("The adapted model is worse than its baseline: chrF++ 25.0 → 20.0, −5.0 (95 % interval −6.0 to −4.0, "
            "p = 0.002)."),
        ),
        (
            [task(SAME, score("TER", 60, 70))],
            "NoDifference",
            ("No significant difference between the adapted model and its baseline: chrF++ 30.0 → 30.1, +0.1 "
            "(95 % interval −0.9 to +1.1, p = 0.7). TER 70.0 → 60.0 is better."),
        ),
        (
            [task(UNUSABLE)],
            "NotUsable",
            ("The adapted model and its baseline are both unusable: chrF++ 8.6 and 7.2. Against its baseline the "
            "adapted model is better: chrF++ 7.2 → 8.6, +1.4 (95 % interval +0.4 to +2.4, p = 0.002)."),
        ),
        (
            [task(BETTER), task(BETTER, shots=1)],
            "Better",
            ("The adapted model is better than its baseline in every test: zero-shot chrF++ 18.4 → 31.3 (better by "
             "11.9 to 13.9); one-shot chrF++ 18.4 → 31.3 (better by 11.9 to 13.9)."),
        ),
        (
            [task(SAME), task(BETTER, shots=1)],
            "Better",
            ("The adapted model is better than its baseline, in no test worse: zero-shot chrF++ 30.0 → 30.1 (by −0.9 "
             "to +1.1, not significant); one-shot chrF++ 18.4 → 31.3 (better by 11.9 to 13.9)."),
        ),
        (
            [task(BETTER), task(WORSE, score("TER", 60, 80), name="en-de")],
            "Mixed",
            ("The tests disagree about the adapted model: en-es zero-shot chrF++ 18.4 → 31.3 (better by 11.9 to 13.9); "
             "en-de zero-shot chrF++ 25.0 → 20.0 (worse by 4.0 to 6.0). TER (en-de zero-shot) contradicts."),
        ),
        (
            [task(BETTER), task(WORSE, shots=1, empty=0.5)],
            "Mixed",
            ("The tests disagree about the adapted model: zero-shot chrF++ 18.4 → 31.3 (better by 11.9 to 13.9); "
             "one-shot not usable, empty 50.0 %, chrF++ 25.0 → 20.0 (worse by 4.0 to 6.0)."),
        ),
        (
            [task(WORSE), task(UNUSABLE, shots=1)],
            "Worse",
            ("The adapted model is worse than its baseline or not usable: zero-shot chrF++ 25.0 → 20.0 (worse by 4.0 "
             "to 6.0); one-shot not usable, chrF++ 7.2 → 8.6 (better by 0.4 to 2.4)."),
        ),
        (
            [task(UNUSABLE), task(UNUSABLE, shots=1, repetition=0.62)],
            "NotUsable",
            ("The adapted model and its baseline are both unusable in every test: zero-shot chrF++ 7.2 → 8.6 (better "
             "by 0.4 to 2.4); one-shot repetition 62.0 %, chrF++ 7.2 → 8.6 (better by 0.4 to 2.4)."),
        ),
        (
            [task(BETTER, name=f"task-{i}") for i in range(6)],
            "Better",
            ("The adapted model is better than its baseline in every test: task-0 zero-shot chrF++ 18.4 → 31.3 "
             "(better by 11.9 to 13.9); task-1 zero-shot chrF++ 18.4 → 31.3 (better by 11.9 to 13.9); task-2 zero-shot "
             "chrF++ 18.4 → 31.3 (better by 11.9 to 13.9); task-3 zero-shot chrF++ 18.4 → 31.3 (better by 11.9 to "
             "13.9); 2 more in the table."),
        ),
    ],
)  # fmt: skip
def test_the_verdict_in_words(tasks: list[TaskReport], outcome: Outcome, sentence: str) -> None:
    concluded = conclude(tasks, 0.05)
    assert (concluded.outcome, said(concluded)) == (outcome, sentence)


def test_the_verdict_without_baseline_and_with_a_gate() -> None:
    checks = [GateCheck(requirement="a", passed=True), GateCheck(requirement="b", passed=False)]
    gate = GateResult(passed=False, checks=checks)
    plain = [Score(metric="chrF++", score=value, low=1, high=99) for value in (23.44, 25, 8.6)]
    concluded = conclude([task(plain[0]), task(plain[1], shots=1)], 0.05)
    assert concluded.outcome == "NotCompared"
    assert verdict_sentence("pretrained", concluded, gate) == (
        "The pretrained model reaches chrF++ 23.4 (en-es, 0-shot) and chrF++ 25.0 (en-es, 1-shot); "
        "there is no baseline to compare with. Gate failed (1 of 2 requirements not met)."
    )
    passed = GateResult(passed=True, checks=[])
    assert verdict_sentence("adapted", conclude([task(BETTER)], 0.05), passed).endswith(" Gate passed.")
    unusable = conclude([task(plain[2], repetition=0.5)], 0.05)
    assert verdict_sentence("adapted", unusable, passed).endswith(" Gate passed, though not all outputs are usable.")
    assert unusable.outcome == "NotUsable"
    assert said(unusable) == (
        "The adapted model is not usable: repetition 50.0 %. It reaches chrF++ 8.6 (en-es, 0-shot); "
        "there is no baseline to compare with."
    )


def test_a_model_that_is_a_uri_is_not_spelled_out() -> None:
    concluded = conclude([task(WORSE)], 0.05)
    sentence = verdict_sentence("file:///models/very/long", concluded, None)
    assert sentence.startswith("The model is worse than its baseline: chrF++ 25.0 → 20.0")


@pytest.mark.parametrize(
    ("outcomes", "overall"),
    [
        (["Better", "Better"], "Better"),
        (["Better", "NoDifference"], "Better"),
        (["Worse", "NoDifference"], "Worse"),
        (["NoDifference"], "NoDifference"),
        (["NotUsable", "NotUsable"], "NotUsable"),
        (["NotUsable", "Worse"], "Worse"),
        (["NotUsable", "Better"], "Mixed"),
        (["NotUsable", "NoDifference"], "Mixed"),
        (["Worse", "Better"], "Mixed"),
        (["NotCompared"], "NotCompared"),
        (["NotCompared", "NotUsable"], "Mixed"),
    ],
)
def test_the_whole_is_never_better_than_its_parts(outcomes: list[Outcome], overall: Outcome) -> None:
    assert overall_outcome(outcomes) == overall


def test_limits_of_use_know_which_way_a_metric_improves() -> None:
    assert [METRICS["chrF++"].is_unusable(x) for x in (0.0, 15.0, 15.1)] == [True, True, False]
    assert [METRICS["TER"].is_unusable(x) for x in (99.9, 100.0, 151.0)] == [False, True, True]
    assert not METRICS["Perplexity"].is_unusable(1e9)


def test_ranges_of_diagnostics_hold_each_other_and_say_what_they_expect() -> None:
    # Either gender is right: no value of the gap is expected, and none is a failure.
    assert DIAGNOSTICS["genderGap"].expectation == "nothing in particular"
    for row in (row for name, row in DIAGNOSTICS.items() if name != "genderGap"):
        assert row.usable[0] <= row.expected[0] < row.expected[1] < row.usable[1]
    assert DIAGNOSTICS["lengthRatio"].expected == (0.7, 1.4)
    assert DIAGNOSTICS["lengthRatio"].expectation == "0.7 to 1.4"
    assert [DIAGNOSTICS["repetition"].show(x) for x in (0.0, 0.625)] == ["0.0 %", "62.5 %"]


def test_an_unusable_model_comes_first_and_texts_are_bounded() -> None:
    long_name = "x" * 63
    found = find_all([task(BETTER, name=long_name, repetition=0.1), task(UNUSABLE, name="b", empty=0.5)])
    assert [f.unusable for f in found] == [True, True, False]
    assert all(len(f.text) <= 200 for f in found)
    assert len({f.text for f in found}) == 3
