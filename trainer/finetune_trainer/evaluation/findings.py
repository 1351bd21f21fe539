"""What a reader must know before any score: failures, scores beyond use, too few segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finetune_api.figures import shots_name
from finetune_api.registries import DIAGNOSTICS, FEW_SEGMENTS, METRICS, TASKS
from finetune_api.report import Finding, TaskReport


def find_all(tasks: Sequence[TaskReport]) -> list[Finding]:
    """Of all tests, those that make a system unusable first."""
    found = [finding for task in tasks for finding in _of_task(task)]
    found += [_few_segments(task) for task in {t.name: t for t in tasks}.values() if task.segments < FEW_SEGMENTS]
    return sorted(found, key=lambda finding: (not finding.unusable, finding.system != "Model"))


def _of_task(task: TaskReport) -> Iterator[Finding]:
    yield from _beyond_use(task)
    yield from _failures(task)
    yield from _baseline_failures(task)


def of_test(findings: Sequence[Finding], task: TaskReport) -> list[Finding]:
    """Those about the model in one test."""
    return [f for f in findings if (f.task, f.shots, f.system) == (task.name, task.shots, "Model")]


def _beyond_use(task: TaskReport) -> Iterator[Finding]:
    """The model's leading score: it decides."""
    lead = task.scores[0]
    row = METRICS[lead.metric]
    if TASKS[task.type].has_floors and row.is_unusable(lead.score):
        both = lead.baseline is not None and row.is_unusable(lead.baseline)
        baseline = f", baseline {lead.baseline:.1f}: both unusable" if both else ": unusable"
        limit = f"{row.unusable_at:g} or {'more' if row.lower_is_better else 'less'}"
        text = f"{lead.metric} {lead.score:.1f}{baseline} ({limit})"
        yield _finding(task, "Model", lead.metric, lead.score, text, unusable=True)


def _failures(task: TaskReport) -> Iterator[Finding]:
    before = task.baseline_diagnostics or {}
    for name, value in task.diagnostics.items():
        row = DIAGNOSTICS[name]
        if not row.is_expected(value):
            baseline = f", baseline {row.show(before[name])}" if name in before else ""
            text = f"{row.title.lower()} {row.show(value)}{baseline}; expected {row.expectation}"
            yield _finding(task, "Model", name, value, text, unusable=not row.is_usable(value))


def _baseline_failures(task: TaskReport) -> Iterator[Finding]:
    """Where the model is better and does not fail so itself: they explain the difference."""
    lead = task.scores[0]
    if lead.verdict != "Better" or lead.baseline is None:
        return
    before = (task.baseline_diagnostics or {}).items()
    failed = {
        name: value
        for name, value in before
        if not DIAGNOSTICS[name].is_expected(value) and DIAGNOSTICS[name].is_expected(task.diagnostics.get(name, value))
    }
    said = [f"{DIAGNOSTICS[name].title.lower()} {DIAGNOSTICS[name].show(value)}" for name, value in failed.items()]
    row = METRICS[lead.metric]
    if TASKS[task.type].has_floors and row.is_unusable(lead.baseline) and not row.is_unusable(lead.score):
        failed = {lead.metric: lead.baseline} | failed
        said = [f"{lead.metric} {lead.baseline:.1f}", *said]
    if failed:
        name, value = next(iter(failed.items()))
        text = f"the baseline fails, which explains part of the difference: {', '.join(said)}"
        yield _finding(task, "Baseline", name, value, text)


def _few_segments(task: TaskReport) -> Finding:
    text = f"{task.name}: only {task.segments} segments; below {FEW_SEGMENTS} intervals are wide, and chance is large"
    return Finding(task=task.name, system="TestSet", name="segments", value=task.segments, text=text)


def _finding(task: TaskReport, system: str, name: str, value: float, text: str, *, unusable: bool = False) -> Finding:
    return Finding.model_validate(
        {
            "task": task.name,
            "shots": task.shots,
            "system": system,
            "name": name,
            "value": value,
            "unusable": unusable,
            "text": f"{task.name} {shots_name(task.shots)}: {text}"[:200],
        }
    )
