"""The report in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.report import GateResult, Score, TaskReport

_BOUNDS = (0.001, 0.01, 0.05)


def verdict_sentence(
    model: str, tasks: Sequence[TaskReport], gate: GateResult | None, level: float, compared: bool
) -> str:
    """Such as: The adapted model is better than its baseline in every measure (p < 0.001). Gate passed."""
    scores = [score for task in tasks for score in task.scores]
    sentence = _comparison(model, scores, level) if compared else _no_comparison(model, tasks)
    if gate is None:
        return sentence
    failed = sum(not check.passed for check in gate.checks)
    count = f" ({failed} of {len(gate.checks)} requirements not met)" if failed else ""
    return f"{sentence} Gate {'failed' if failed else 'passed'}{count}."


def _comparison(model: str, scores: Sequence[Score], level: float) -> str:
    better = [s for s in scores if s.verdict == "Better"]
    worse = [s for s in scores if s.verdict == "Worse"]
    for group, word in ((better, "better"), (worse, "worse")):
        if len(group) == len(scores):
            every = "" if len(scores) == 1 else " in every measure"
            return f"The {model} model is {word} than its baseline{every} ({_p_bound(group, level)})."
    if not better and not worse:
        return f"No measure shows a difference between the {model} model and its baseline (p ≥ {level:g})."
    parts = []
    for group, word in ((better, "better than its baseline in"), (worse, "worse in")):
        if group:
            parts.append(f"{word} {len(group)} of {len(scores)} measures ({_p_bound(group, level)})")
    if not better:
        parts[0] = parts[0].replace("worse in", "worse than its baseline in")
    rest = len(scores) - len(better) - len(worse)
    if rest:
        parts.append(f"not different in {rest}")
    return f"The {model} model is {_listed(parts)}."


def _no_comparison(model: str, tasks: Sequence[TaskReport]) -> str:
    heads = [f"{t.scores[0].metric} {t.scores[0].score:.1f} ({t.name}, {t.shots}-shot)" for t in tasks if t.scores]
    return f"The {model} model reaches {_listed(heads)}; there is no baseline to compare with."


def _p_bound(scores: Sequence[Score], level: float) -> str:
    """The smallest of the usual bounds that holds for all p-values."""
    largest = max(score.p_value or 0.0 for score in scores)
    return f"p < {next((b for b in _BOUNDS if largest < b <= level), level):g}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
