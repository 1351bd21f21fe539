"""report.html: one file, no script, style or font from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources

import yaml

from finetune_api.figures import shots_name
from finetune_api.language_tags import direction_languages
from finetune_api.progress import HistoryRow
from finetune_api.registries import METRICS, TASKS
from finetune_api.report import EvaluationReport, TaskReport
from finetune_charts import content_hash, page_environment, page_style
from finetune_charts.drawing import Chart, Interval, interval_chart
from finetune_charts.training import training_charts
from finetune_trainer.data.units import WORDS, Unit, unit_of
from finetune_trainer.reporting import sections
from finetune_trainer.reporting.differences import word_differences
from finetune_trainer.reporting.figures import (
    VERDICT_MARKS,
    VERDICT_WORDS,
    difference_cell,
    p_cell,
    score_cell,
    segment_score,
)
from finetune_trainer.reporting.glossary import terms

_TEMPLATES = "templates"


def render_html(report: EvaluationReport, histories: Mapping[str, Sequence[HistoryRow]]) -> str:
    """The page; `histories` are the curves by training stage. Pure: equal input gives equal text."""
    style, script = page_style(), _packaged("report.js")
    environment = page_environment(_packaged)
    environment.filters.update(
        shots=shots_name, p=p_cell, difference=difference_cell, score=score_cell, segment=segment_score
    )
    environment.globals.update(
        differences=word_differences,
        unit_of_outputs=_unit_of_outputs,
        marks=VERDICT_MARKS,
        words=VERDICT_WORDS,
        sections=sections,
        metrics=METRICS,
        tasks=TASKS,
    )
    curves = [(stage, training_charts(rows)) for stage, rows in histories.items() if rows]
    return environment.get_template("report.html.j2").render(
        report=report,
        compared=report.baseline is not None,
        tables=_score_tables(report.tasks),
        intervals=_interval_charts(report.tasks),
        curves=[(stage, charts) for stage, charts in curves if charts],
        terms=terms(report, has_curves=any(charts for _, charts in curves)),
        lineage=json.dumps(report.lineage, indent=2, ensure_ascii=False),
        spec=yaml.safe_dump(report.spec, sort_keys=False, allow_unicode=True, width=100),
        seeds=sections.seeds(report.spec),
        style=style,
        script=script,
        style_hash=content_hash(style),
        script_hash=content_hash(script),
    )


def _unit_of_outputs(task: TaskReport) -> Unit:
    return unit_of(direction_languages(task.direction)[1]) if task.direction else WORDS


def _score_tables(tasks: Sequence[TaskReport]) -> list[tuple[str, list[TaskReport]]]:
    """Tasks by name, each with its shot counts."""
    return [(name, [t for t in tasks if t.name == name]) for name in dict.fromkeys(t.name for t in tasks)]


def _interval_charts(tasks: Sequence[TaskReport]) -> dict[str, list[Chart]]:
    """One chart per task and metric, one row per shot count."""
    charts: dict[str, list[Chart]] = {}
    for name, group in _score_tables(tasks):
        metrics = dict.fromkeys(score.metric for task in group for score in task.scores)
        charts[name] = [_interval_chart(metric, group) for metric in metrics]
    return charts


def _interval_chart(metric: str, group: Sequence[TaskReport]) -> Chart:
    rows = [
        Interval(shots_name(task.shots), score.score, score.low, score.high, score.baseline)
        for task in group
        for score in task.scores
        if score.metric == metric
    ]
    better = "lower is better" if METRICS[metric].lower_is_better else "higher is better"
    return interval_chart(metric, rows, f"{metric}, {better}")


def _packaged(name: str) -> str:
    return (resources.files(__package__) / _TEMPLATES / name).read_text("utf-8")
