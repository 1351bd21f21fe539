"""The report's table for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from finetune_api.report import EvaluationSummary, ScoreSummary

SHOT_NAMES = {0: "zero-shot", 1: "one-shot"}


def score_table(evaluation: EvaluationSummary) -> RenderableType:
    """One block per task, one line per shot count, one column per metric."""
    blocks: list[RenderableType] = []
    for task in dict.fromkeys(score.task for score in evaluation.scores):
        scores = [score for score in evaluation.scores if score.task == task]
        metrics = list(dict.fromkeys(score.metric for score in scores))
        table = Table(box=None, padding=(0, 3, 0, 0), title_justify="left")
        table.add_column(task, style="bold")
        for metric in metrics:
            table.add_column(metric, justify="right")
        for shots in dict.fromkeys(score.shots for score in scores):
            by_metric = {score.metric: score for score in scores if score.shots == shots}
            cells = [_cell(by_metric[m]) if m in by_metric else Text("–") for m in metrics]
            table.add_row(SHOT_NAMES.get(shots, f"{shots}-shot"), *cells)
        blocks.append(table)
    return Group(*blocks)


def _cell(score: ScoreSummary) -> Text:
    """`14.1 → 23.9 ±0.8 ▲`: baseline, score, half of the confidence interval, arrow where significant."""
    half = (score.high - score.low) / 2
    text = Text(f"{score.score:.1f} ±{half:.1f}")
    if score.baseline is not None:
        text = Text.assemble((f"{score.baseline:.1f} → ", "dim"), text)
    arrow = {"Better": (" ▲", "green"), "Worse": (" ▼", "red"), "NoDifference": (" =", "dim")}
    if score.verdict is not None:
        text.append(*arrow[score.verdict])
    return text
