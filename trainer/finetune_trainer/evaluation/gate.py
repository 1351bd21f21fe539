"""The gate: requirements that the scores must meet."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.evaluate import Gate, GateRequirement
from finetune_api.figures import p_text
from finetune_api.registries import METRICS
from finetune_api.report import GateCheck, GateResult, Score, TaskReport
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.scores import judge


def refuse_empty_requirements(gate: Gate | None) -> None:
    """Refuse a requirement that requires nothing, before anything is decoded.

    Raises:
        BadConfiguration: with the field path.
    """
    for index, need in enumerate(gate.require if gate else []):
        if not (need.at_least_baseline or need.better_than_baseline or need.minimum is not None):
            raise BadConfiguration(
                "EmptyRequirement",
                f"spec.evaluate.gate.require[{index}] requires nothing of {need.metric} of {need.task}",
                "give atLeastBaseline, betterThanBaseline or minimum",
            )


def check_gate(gate: Gate, tasks: Sequence[TaskReport]) -> GateResult:
    """Check every requirement; a score or baseline that is not there is a requirement not met."""
    scores = {(t.name, t.shots, s.metric): s for t in tasks for s in t.scores}
    checks = [_check(need, scores.get((need.task, need.shots, need.metric))) for need in gate.require]
    return GateResult(passed=all(check.passed for check in checks), checks=checks)


def _check(need: GateRequirement, score: Score | None) -> GateCheck:
    words, failures = [], []
    lower_is_better = METRICS[need.metric].lower_is_better
    if need.minimum is not None:
        words.append(f"{'at most' if lower_is_better else 'at least'} {need.minimum:g}")
        met = score is not None and (score.score <= need.minimum if lower_is_better else score.score >= need.minimum)
        failures += [] if met else [words[-1]]
    if need.better_than_baseline or need.at_least_baseline:
        verdict = _verdict(need, score)
        if need.better_than_baseline:
            words.append(f"better than the baseline at p < {need.significance:g}")
            failures += [] if verdict == "Better" else [words[-1]]
        if need.at_least_baseline:
            words.append(f"not worse than the baseline at p < {need.significance:g}")
            failures += [] if verdict in ("Better", "NoDifference") else [words[-1]]
    requirement = f"{need.metric} of {need.task} ({need.shots}-shot) {' and '.join(words)}"
    return GateCheck(requirement=requirement[:256], passed=not failures, detail=_detail(score)[:256])


def _verdict(need: GateRequirement, score: Score | None) -> str | None:
    if score is None or score.delta is None or score.p_value is None:
        return None
    return judge(need.metric, score.delta, score.p_value, need.significance)


def _detail(score: Score | None) -> str:
    if score is None:
        return "this was not scored"
    if score.baseline is None or score.p_value is None:
        return f"{score.score:.2f}; there is no baseline to compare with"
    return f"{score.score:.2f} against {score.baseline:.2f}, {p_text(score.p_value)}"
