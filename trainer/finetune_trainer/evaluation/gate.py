"""The gate: requirements that scores and diagnostics must meet."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.evaluate import BASELINE, Gate, GateRequirement
from finetune_api.figures import p_text
from finetune_api.registries import DIAGNOSTICS, METRICS
from finetune_api.report import Finding, GateCheck, GateResult, RivalScore, Score, TaskReport
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.comparisons import judge
from finetune_trainer.evaluation.findings import of_test


def refuse_empty_requirements(gate: Gate | None) -> None:
    """Refuse a requirement that requires nothing, before anything is decoded.

    Raises:
        BadConfiguration: with the field path.
    """
    for index, need in enumerate(gate.require if gate else []):
        compares = need.must_beat or need.must_hold or need.at_most_worse_by is not None
        if not compares and need.minimum is None and need.maximum is None:
            raise BadConfiguration(
                "EmptyRequirement",
                f"spec.evaluate.gate.require[{index}] requires nothing of {need.name} of {need.task}",
                "give atLeastBaseline, betterThanBaseline, betterThan, notWorseThan, atMostWorseBy or minimum"
                if need.metric
                else "give minimum, maximum or both",
            )


def check_gate(gate: Gate, tasks: Sequence[TaskReport], findings: Sequence[Finding]) -> GateResult:
    """Check every requirement; a score, diagnostic or baseline that is not there is a requirement not met.

    A model may be better than its baseline and still serve nobody, so the tests that the requirements name are checked
    too, unless the gate says that they need not be usable.
    """
    by_test = {(task.name, task.shots): task for task in tasks}
    checks = [_check(need, by_test.get((need.task, need.shots))) for need in gate.require]
    if gate.require_usable:
        named = dict.fromkeys((need.task, need.shots) for need in gate.require)
        checks += [_check_usable(by_test[test], findings) for test in named if test in by_test]
    return GateResult(passed=all(check.passed for check in checks), checks=checks)


def _check_usable(task: TaskReport, findings: Sequence[Finding]) -> GateCheck:
    # Texts of findings begin with the test that the requirement names already.
    found = [finding.text.partition(": ")[2] for finding in of_test(findings, task) if finding.unusable]
    requirement = f"usable outputs of {task.name} ({task.shots}-shot)"
    return GateCheck(requirement=requirement, passed=not found, detail=("; ".join(found) or "no failure found")[:256])


def _check(need: GateRequirement, task: TaskReport | None) -> GateCheck:
    if need.diagnostic is not None:
        return _check_diagnostic(need, need.diagnostic, task)
    return _check_score(need, need.metric or "", task)


def _check_diagnostic(need: GateRequirement, name: str, task: TaskReport | None) -> GateCheck:
    value = task.diagnostics.get(name) if task is not None else None
    row = DIAGNOSTICS[name]
    words = [f"at least {row.show(need.minimum)}"] if need.minimum is not None else []
    words += [f"at most {row.show(need.maximum)}"] if need.maximum is not None else []
    met = value is not None and (need.minimum is None or value >= need.minimum)
    met = met and value is not None and (need.maximum is None or value <= need.maximum)
    detail = "this was not counted" if value is None else row.show(value)
    return GateCheck(requirement=_requirement(need, row.title.lower(), words), passed=met, detail=detail)


def _check_score(need: GateRequirement, metric: str, task: TaskReport | None) -> GateCheck:
    words, failures = [], []
    score = next((score for score in task.scores if score.metric == metric), None) if task is not None else None
    lower_is_better = METRICS[metric].lower_is_better
    if need.minimum is not None:
        words.append(f"{'at most' if lower_is_better else 'at least'} {need.minimum:g}")
        met = score is not None and (score.score <= need.minimum if lower_is_better else score.score >= need.minimum)
        failures += [] if met else [words[-1]]
    if need.at_most_worse_by is not None:
        words.append(f"at most {need.at_most_worse_by:g} worse than the baseline")
        loss = _largest_loss(score, lower_is_better=lower_is_better)
        failures += [] if loss is not None and loss <= need.at_most_worse_by else [words[-1]]
    details = []
    for relation, accepted, systems in (
        ("better than", ("Better",), need.must_beat),
        ("not worse than", ("Better", "NoDifference"), need.must_hold),
    ):
        for system in systems:
            other = score if system == BASELINE else _of_rival(task, system, metric)
            words.append(f"{relation} {_called(system)} at p < {need.significance:g}")
            failures += [] if _verdict(need, metric, other) in accepted else [words[-1]]
            details.append(_detail(score, system, other))
    detail = "; ".join(dict.fromkeys(details)) or _detail(score, BASELINE, score)
    return GateCheck(requirement=_requirement(need, metric, words), passed=not failures, detail=detail[:256])


def _largest_loss(score: Score | None, *, lower_is_better: bool) -> float | None:
    """Against the baseline, at the worse end of the interval; None where there is none."""
    if score is None or score.delta_low is None or score.delta_high is None:
        return None
    return score.delta_high if lower_is_better else -score.delta_low


def _of_rival(task: TaskReport | None, name: str, metric: str) -> RivalScore | None:
    rivals = task.rivals if task is not None else []
    found = (score for rival in rivals if rival.name == name for score in rival.scores if score.metric == metric)
    return next(found, None)


def _called(system: str) -> str:
    return "the baseline" if system == BASELINE else system


def _requirement(need: GateRequirement, name: str, words: Sequence[str]) -> str:
    return f"{name} of {need.task} ({need.shots}-shot) {' and '.join(words)}"[:256]


def _verdict(need: GateRequirement, metric: str, score: Score | RivalScore | None) -> str | None:
    """By the adjusted p-value, as the report's own verdict."""
    if score is None or score.delta is None or score.p_adjusted is None:
        return None
    return judge(metric, score.delta, score.p_adjusted, need.significance)


def _detail(score: Score | None, system: str, other: Score | RivalScore | None) -> str:
    """`other` is the comparison with the system: of the baseline the score itself."""
    if score is None:
        return "this was not scored"
    if other is None or other.p_adjusted is None:
        missing = "there is no baseline to compare with" if system == BASELINE else f"{system} did not answer this test"
        return f"{score.score:.{METRICS[score.metric].digits}f}; {missing}"
    before = other.score if isinstance(other, RivalScore) else other.baseline
    named = "" if system == BASELINE else f" of {system}"
    digits = METRICS[score.metric].digits
    return f"{score.score:.{digits}f} against {before:.{digits}f}{named}, {p_text(other.p_adjusted)}"
