"""The verdict for machines: of one test, and of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.registries import TASKS
from finetune_api.report import Finding, Outcome, TaskReport
from finetune_trainer.evaluation.comparisons import judge_tasks
from finetune_trainer.evaluation.findings import find_all, of_test


@dataclass(frozen=True, slots=True)
class Conclusion:
    """All that follows from the figures."""

    tasks: list[TaskReport]
    """With verdicts and outcomes."""
    findings: list[Finding]
    outcome: Outcome


def conclude(scored: Sequence[TaskReport], level: float) -> Conclusion:
    """Judge every comparison, look for failures, and say what the whole comes to. Pure."""
    judged = judge_tasks(scored, level)
    findings = find_all(judged)
    outcomes = [outcome_of_test(task, findings) for task in judged]
    tasks = [task.model_copy(update={"outcome": outcome}) for task, outcome in zip(judged, outcomes, strict=True)]
    leading = [task.outcome for task in leading_tasks(tasks) if task.outcome is not None]
    return Conclusion(tasks, findings, overall_outcome(leading))


def leading_tasks(tasks: Sequence[TaskReport]) -> list[TaskReport]:
    """Those that the verdict is about; all where none of them leads.

    That a model predicts general text a little worse after its adaptation is no verdict on what it was adapted to.
    """
    return [task for task in tasks if TASKS[task.type].leads] or list(tasks)


def outcome_of_test(task: TaskReport, findings: Sequence[Finding]) -> Outcome:
    """Of one test: the first metric leads, unless its outputs are not usable.

    The other metrics of a task see the same outputs, so they are no votes. They may even improve where outputs get
    worse: a comma costs fewer edits than a wrong sentence, so TER improves.
    """
    if any(finding.unusable for finding in of_test(findings, task)):
        return "NotUsable"
    return task.scores[0].verdict or "NotCompared"


def overall_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Of all tests: never better than any of them says. Tests without a difference leave it to the others."""
    said = set(outcomes) - {"NoDifference"} or {"NoDifference"}
    if said == {"NotUsable"} and "NoDifference" in outcomes:
        return "Mixed"
    if len(said) == 1:
        return said.pop()
    return "Worse" if said == {"Worse", "NotUsable"} else "Mixed"
