"""Pieces of the verdict: one test against its baseline, and what the metrics beside the first say."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.figures import p_text, shots_name, signed
from finetune_api.registries import DIAGNOSTICS, METRICS, TASKS
from finetune_api.report import Finding, Score, TaskReport

_OPPOSITE = {"Better": "Worse", "Worse": "Better"}
_RELATION = {"Better": "better", "Worse": "worse", "NoDifference": "not different"}


def relation(score: Score) -> str:
    """Such as: worse: chrF++ 37.2 → 0.6, −36.6 (95 % interval −37.9 to −35.3, p = 0.006)."""
    return f"{_RELATION[score.verdict or 'NoDifference']}: {comparison(score)}"


def comparison(score: Score) -> str:
    """Such as: chrF++ 18.4 → 31.3, +12.9 (95 % interval +11.5 to +14.2, p = 0.006)."""
    p_value = p_text(1.0 if score.p_adjusted is None else score.p_adjusted)
    low, high, delta = (_signed(value, score.metric) for value in (score.delta_low, score.delta_high, score.delta))
    return f"{change(score)}, {delta} (95 % interval {low} to {high}, {p_value})"


def change(score: Score) -> str:
    """Such as: chrF++ 18.4 → 31.3."""
    before = "" if score.baseline is None else f"{_plain(score.baseline, score.metric)} → "
    return f"{score.metric} {before}{_plain(score.score, score.metric)}"


def brief(score: Score) -> str:
    """Such as: chrF++ 18.4 → 31.3 (better by 11.5 to 14.2); the ends are those of the difference's interval."""
    low, high = score.delta_low or 0.0, score.delta_high or 0.0
    if score.verdict == "NoDifference" or low * high <= 0:
        ends = f"{_signed(low, score.metric)} to {_signed(high, score.metric)}"
        return f"{change(score)} (by {ends}, {_significance(score)})"
    small, large = (_plain(end, score.metric) for end in sorted((abs(low), abs(high))))
    return f"{change(score)} ({_RELATION[score.verdict or '']} by {small} to {large})"


def _significance(score: Score) -> str:
    return "not significant" if score.verdict == "NoDifference" else _RELATION[score.verdict or ""]


def _signed(value: float | None, metric: str) -> str:
    return signed(value, digits=METRICS[metric].digits - 1)


def _plain(value: float, metric: str) -> str:
    return f"{value:.{METRICS[metric].digits - 1}f}"


def label(task: TaskReport, tasks: Sequence[TaskReport]) -> str:
    """Of a test among others: the task only where there are several."""
    several = len({t.name for t in tasks}) > 1
    return f"{task.name} {shots_name(task.shots)}" if several else shots_name(task.shots)


def both_unusable(task: TaskReport) -> bool:
    """Whether the leading score is beyond use, and the baseline's as well."""
    score = task.scores[0]
    row = METRICS[score.metric]
    return (
        TASKS[task.type].has_floors
        and score.baseline is not None
        and row.is_unusable(score.score)
        and row.is_unusable(score.baseline)
    )


def reasons(findings: Sequence[Finding]) -> list[str]:
    """Why the model is not usable, without the scores: length ratio 0.05, repetition 62.0 %."""
    return [
        f"{DIAGNOSTICS[f.name].title.lower()} {DIAGNOSTICS[f.name].show(f.value)}"
        for f in findings
        if f.unusable and f.name in DIAGNOSTICS
    ]


def beside(task: TaskReport) -> str:
    """What the other metrics say to the first one's verdict: BLEU agrees. TER contradicts: 151.2 → 100.0, better."""
    lead, *others = [score for score in task.scores if score.verdict is not None]
    agree = [s.metric for s in others if s.verdict == lead.verdict]
    against = [s for s in others if s.verdict == _OPPOSITE.get(lead.verdict or "")]
    silent = [s.metric for s in others if s.verdict == "NoDifference" != lead.verdict]
    differing = [s for s in others if lead.verdict == "NoDifference" != s.verdict]
    sentences = [f"{listed([change(s) for s in against])} {_verb(against, 'contradict')}"] if against else []
    sentences += [f"{change(s)} is {_RELATION[s.verdict or 'NoDifference']}" for s in differing]
    sentences += [f"{listed(agree)} {_verb(agree, 'agree')}"] if agree else []
    sentences += [f"{listed(silent)} {_verb(silent, 'show')} no significant difference"] if silent else []
    return "".join(f" {sentence}." for sentence in sentences)


def contradictions(tasks: Sequence[TaskReport]) -> str:
    """Metrics that say the opposite of a test's first one, of several tests."""
    found = [
        f"{score.metric} ({label(task, tasks)})"
        for task in tasks
        for score in task.scores[1:]
        if score.verdict is not None and score.verdict == _OPPOSITE.get(task.scores[0].verdict or "")
    ]
    return f" {listed(found[:_MOST])} {_verb(found, 'contradict')}." if found else ""


def against_rivals(tasks: Sequence[TaskReport]) -> str:
    """Such as: Against agency: worse in every test. Against paste: better zero-shot and not different one-shot."""
    names = dict.fromkeys(rival.name for task in tasks for rival in task.rivals)
    return "".join(f" Against {name}: {_against(name, tasks)}." for name in list(names)[:_MOST])


def told_beside(tasks: Sequence[TaskReport]) -> str:
    """Tests that the verdict is not about: On general: BitsPerByte 1.021 → 1.102 (worse by 0.061 to 0.098)."""
    leads = [(task, task.scores[0]) for task in tasks]
    said = [
        f" On {task.name}: {change(score) if score.verdict is None else brief(score)}." for task, score in leads[:_MOST]
    ]
    return "".join(said)


def _against(name: str, tasks: Sequence[TaskReport]) -> str:
    leads = [(task, rival.scores[0]) for task in tasks for rival in task.rivals if rival.name == name]
    verdicts = [_RELATION[score.verdict or "NoDifference"] for _, score in leads]
    if len(leads) == 1:
        ((task, score),) = leads
        its, own = (_plain(value, score.metric) for value in (score.score, task.scores[0].score))
        return f"{verdicts[0]} ({score.metric} {its} against {own})"
    if len(set(verdicts)) == 1:
        return f"{verdicts[0]} in every test"
    parts = [f"{verdict} {label(task, tasks)}" for (task, _), verdict in zip(leads, verdicts, strict=True)]
    return listed(parts[:_MOST]) + (" and more in the table" if len(parts) > _MOST else "")


_MOST = 4


def _verb(subjects: Sequence[object], verb: str) -> str:
    return f"{verb}s" if len(subjects) == 1 else verb


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
