"""report.md: the report in short."""

from __future__ import annotations

from finetune_api.figures import shots_name
from finetune_api.markdown import escape, markdown_table
from finetune_api.registries import TASKS
from finetune_api.report import EvaluationReport, Score, SegmentExample, TaskReport
from finetune_trainer.reporting.figures import VERDICT_WORDS, difference_cell, p_cell, score_cell, segment_score
from finetune_trainer.reporting.sections import (
    Table,
    bias_table,
    bucket_tables,
    class_tables,
    cost_table,
    diagnostics_table,
    draws_table,
    finding_lines,
    memorisation_table,
    repeat_commands,
    rival_lines,
    rivals_table,
    robustness_table,
    significance_test,
)

_EXAMPLES = 3


def render_markdown(report: EvaluationReport) -> str:
    """The whole page; text from data is escaped, so that it cannot become markup."""
    blocks = [f"# {escape(report.job)}: evaluation", f"**{escape(report.verdict)}**"]
    if report.findings:
        blocks.append("\n".join(f"- {escape(line)}" for line in finding_lines(report)))
    blocks += [f"> {escape(note)}" for note in report.notes]
    against = "none" if report.baseline is None else escape(report.baseline.name)
    blocks.append(
        f"Model: {escape(report.model.name)} (`{report.model.path}`). Baseline: {against}. "
        f"{report.created_at:%Y-%m-%d %H:%M} UTC. Intervals are 95 % bootstrap intervals."
        f"{f' {significance_test(report)}.' if report.baseline or report.rivals else ''}"
    )
    if report.rivals:
        blocks.append("Rivals:\n\n" + "\n".join(f"- {escape(line)}" for line in rival_lines(report)))
    if report.gate is not None:
        blocks.append("## Gate")
        rows = [[c.requirement, "met" if c.passed else "**not met**", c.detail] for c in report.gate.checks]
        blocks.append(_table(Table(["Requirement", "", "Detail"], rows)))
    for task in report.tasks:
        blocks += _task(task)
    bias = bias_table(report)
    blocks += [] if bias is None else ["## Bias", _table(bias)]
    repeated = memorisation_table(report)
    blocks += [] if repeated is None else ["## Memorisation", _table(repeated)]
    blocks += ["## Cost", _table(cost_table(report.cost)), "## Repeat it"]
    blocks.append("```bash\n" + "\n".join(repeat_commands(report)) + "\n```")
    return "\n\n".join(blocks) + "\n"


def _task(task: TaskReport) -> list[str]:
    blocks = [f"## {task.name}, {shots_name(task.shots)}: {task.segments:,} segments"]
    blocks += [f"Decoding: {task.decoding}."] if task.decoding else []
    header = [
        "Metric",
        "Baseline",
        "Score",
        "95 % interval",
        "Difference (95 % interval)",
        "p",
        "p alone",
        "Verdict",
        "Signature",
    ]
    blocks.append(_table(Table(header, [_score_row(score) for score in task.scores])))
    against = rivals_table([task])
    blocks += [] if against is None else ["### Against rivals", _table(against)]
    noised = robustness_table([task])
    blocks += [] if noised is None else ["### With noised sources", _table(noised)]
    drawn = draws_table([task])
    blocks += [] if drawn is None else ["### Over draws of the examples: mean ± standard deviation", _table(drawn)]
    blocks += [_table(diagnostics_table(task))] if task.diagnostics else []
    for title, table in [*class_tables(task), *bucket_tables(task)]:
        blocks += [f"### {title}", _table(table)]
    for title, examples in (("Most improved", task.most_improved), ("Most worsened", task.most_worsened)):
        if examples:
            blocks += [
                f"### {title}",
                "\n".join(_example(example, TASKS[task.type].segment_metric) for example in examples[:_EXAMPLES]),
            ]
    blocks.append(f"All segments: `{task.hypotheses}`")
    blocks += [f"All that answers were chosen from: `{task.candidates}`"] if task.candidates else []
    return blocks


def _score_row(score: Score) -> list[str]:
    return [
        score.metric,
        score_cell(score.baseline, score.metric),
        f"**{score_cell(score.score, score.metric)}**",
        f"{score_cell(score.low, score.metric)} to {score_cell(score.high, score.metric)}",
        difference_cell(score),
        p_cell(score.p_adjusted),
        p_cell(score.p_value),
        VERDICT_WORDS.get(score.verdict or "", "–"),
        f"`{score.signature}`",
    ]


def _example(example: SegmentExample, metric: str) -> str:
    lines = [
        f"- {metric} {segment_score(example.baseline_score, metric)} → {segment_score(example.score, metric)}",
        f"  - source: {escape(example.source)}",
        *([f"  - context: {escape(example.context)}"] if example.context else []),
        f"  - reference: {escape(example.reference)}",
        f"  - baseline: {escape(example.baseline) or '(empty)'}",
        f"  - model: {escape(example.hypothesis) or '(empty)'}",
        *(f"  - example: {escape(shown.source)} → {escape(shown.target)}" for shown in example.examples),
    ]
    if example.lost:
        lines.append(f"  - terms lost: {escape('; '.join(example.lost))}")
    return "\n".join(lines)


def _table(table: Table) -> str:
    return markdown_table(table.header, table.rows)
