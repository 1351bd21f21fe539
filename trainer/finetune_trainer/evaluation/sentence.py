"""The verdict in words: about the first metric of each test; the others are named, never counted."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.report import Finding, GateResult, Outcome, TaskReport
from finetune_trainer.evaluation.findings import of_test
from finetune_trainer.evaluation.outcome import Conclusion, leading_tasks
from finetune_trainer.evaluation.phrases import (
    against_rivals,
    beside,
    both_unusable,
    brief,
    change,
    comparison,
    contradictions,
    label,
    listed,
    reasons,
    relation,
    told_beside,
)

_MOST_TESTS = 4
"""That the sentence tells apart; the table has all."""


def verdict_sentence(model: str, concluded: Conclusion, gate: GateResult | None) -> str:
    """Such as: The adapted model is better than its baseline: chrF++ 18.4 → 31.3, ... TER agrees. Gate passed."""
    tasks, findings = leading_tasks(concluded.tasks), concluded.findings
    called = "model" if "/" in model else f"{model} model"  # of a URI the page says which
    if any(task.scores[0].verdict is None for task in tasks):
        sentence = _without_baseline(called, tasks, findings, concluded.outcome)
    elif len(tasks) == 1:
        sentence = _one_test(called, tasks[0], findings)
    else:
        sentence = _several_tests(called, tasks, findings, concluded.outcome)
    sentence += against_rivals(tasks) + told_beside([task for task in concluded.tasks if task not in tasks])
    if gate is None:
        return sentence
    failed = sum(not check.passed for check in gate.checks)
    if failed:
        return f"{sentence} Gate failed ({failed} of {len(gate.checks)} requirements not met)."
    though = ", though not all outputs are usable" if any(task.outcome == "NotUsable" for task in tasks) else ""
    return f"{sentence} Gate passed{though}."


def _one_test(model: str, task: TaskReport, findings: Sequence[Finding]) -> str:
    lead, others = task.scores[0], beside(task)
    if task.outcome == "NotUsable":
        why = reasons(of_test(findings, task))
        if both_unusable(task):
            scores = f"{lead.metric} {lead.score:.1f} and {lead.baseline:.1f}"
            opening = f"The {model} and its baseline are both unusable: {listed([scores, *why])}."
        else:
            opening = f"The {model} is not usable: {listed(why or [f'{lead.metric} {lead.score:.1f}'])}."
        return f"{opening} Against its baseline the {model} is {relation(lead)}.{others}"
    if lead.verdict == "NoDifference":
        return f"No significant difference between the {model} and its baseline: {comparison(lead)}.{others}"
    return f"The {model} is {(lead.verdict or '').lower()} than its baseline: {comparison(lead)}.{others}"


def _several_tests(model: str, tasks: Sequence[TaskReport], findings: Sequence[Finding], outcome: Outcome) -> str:
    outcomes = {task.outcome for task in tasks}
    rest_of_worse = " or not usable" if "NotUsable" in outcomes else ", in no test better"
    better, worse = (" in every test",) * 2 if len(outcomes) == 1 else (", in no test worse", rest_of_worse)
    openings = {
        "Better": f"The {model} is better than its baseline{better}",
        "Worse": f"The {model} is worse than its baseline{worse}",
        "NoDifference": f"No test shows a significant difference between the {model} and its baseline",
        "NotUsable": f"The {model} is not usable in any test",
    }
    opening = openings.get(outcome, f"The tests disagree about the {model}")
    if outcome == "NotUsable" and all(both_unusable(task) for task in tasks):
        opening = f"The {model} and its baseline are both unusable in every test"
    parts = [_test(task, tasks, findings, outcome) for task in tasks[:_MOST_TESTS]]
    more = len(tasks) - len(parts)
    rest = f"; {more} more in the table" if more else ""
    return f"{opening}: {'; '.join(parts)}{rest}.{contradictions(tasks)}"


def _test(task: TaskReport, tasks: Sequence[TaskReport], findings: Sequence[Finding], outcome: Outcome) -> str:
    """Such as: one-shot not usable, length ratio 0.05, chrF++ 37.2 → 0.6 (worse by 35.3 to 37.9)."""
    unusable = ["not usable"] if task.outcome == "NotUsable" != outcome else []
    why = reasons(of_test(findings, task))
    return f"{label(task, tasks)} {', '.join([*unusable, *why, brief(task.scores[0])])}"


def _without_baseline(model: str, tasks: Sequence[TaskReport], findings: Sequence[Finding], outcome: Outcome) -> str:
    heads = [f"{change(t.scores[0])} ({t.name}, {t.shots}-shot)" for t in tasks[:_MOST_TESTS]]
    scores = listed(heads)
    unusable = [t for t in tasks if t.outcome == "NotUsable"]
    if not unusable:
        return f"The {model} reaches {scores}; there is no baseline to compare with."
    why = list(dict.fromkeys(reason for task in unusable for reason in reasons(of_test(findings, task))))
    where = "" if outcome == "NotUsable" else f" in {listed([label(t, tasks) for t in unusable[:_MOST_TESTS]])}"
    opening = f"The {model} is not usable{where}{': ' + listed(why[:_MOST_TESTS]) if why else ''}."
    return f"{opening} It reaches {scores}; there is no baseline to compare with."
