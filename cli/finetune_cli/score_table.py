"""The report's table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from finetune_api.evaluation_summary import EvaluationSummary, RivalSummary, ScoreSummary
from finetune_api.figures import p_text, shots_name, signed
from finetune_api.registries import METRICS

ARROWS = {"Better": (" ▲", "green"), "Worse": (" ▼", "red"), "NoDifference": (" =", "dim")}
"""Sign and style by verdict."""


def score_table(evaluation: EvaluationSummary) -> RenderableType:
    """What must be known first; then one block per task, one line per shot count and metric."""
    blocks: list[RenderableType] = [Text(f"⚠ {warning}", style="yellow") for warning in evaluation.warnings]
    for task in dict.fromkeys(score.task for score in evaluation.scores):
        scores = [score for score in evaluation.scores if score.task == task]
        compared = any(score.delta_low is not None for score in scores)
        table = Table(box=None, padding=(0, 3, 0, 0), title_justify="left")
        for title in (task, "", ""):
            table.add_column(title, style="bold" if title else "")
        if compared:
            table.add_column("difference (95 %)", justify="right")
            table.add_column("p", justify="right")
        shown = None
        for score in scores:
            prompt = "" if score.shots == shown else shots_name(score.shots)
            shown = score.shots
            difference = (_difference(score), p_number(score.p_adjusted)) if compared else ()
            table.add_row(prompt, score.metric, _cell(score), *difference)
        blocks.append(table)
        blocks += _against_rivals(task, evaluation.rivals)
    return Group(*blocks)


def _against_rivals(task: str, rivals: Sequence[RivalSummary]) -> list[Table]:
    """One line a rival and shot count, by the first metric; none where there are no rivals."""
    here = [rival for rival in rivals if rival.task == task]
    if not here:
        return []
    table = Table(box=None, padding=(0, 3, 0, 0), title_justify="left")
    for title in ("against", "", "", "difference (95 %)", "p"):
        table.add_column(
            title, style="bold" if title == "against" else "", justify="right" if title[:1] in "dp" else "left"
        )
    for rival in here:
        digits = digits_of(rival.metric)
        scores = f"{rival.score:.{digits}f} → {rival.score + rival.delta:.{digits}f}"
        cell = Text(scores).append(*ARROWS[rival.verdict]) if rival.verdict else Text(scores)
        difference = interval_text(rival.metric, rival.delta, rival.delta_low, rival.delta_high)
        prompt = f"{shots_name(rival.shots)}  {rival.metric}"
        table.add_row(rival.name, prompt, cell, difference, p_number(rival.p_adjusted))
    return [table]


def _difference(score: ScoreSummary) -> str:
    if score.baseline is None or score.delta_low is None or score.delta_high is None:
        return "–"
    return interval_text(score.metric, score.score - score.baseline, score.delta_low, score.delta_high)


def p_number(value: float | None) -> str:
    """`0.012`, `< 0.001`."""
    return "–" if value is None else p_text(value).removeprefix("p ").removeprefix("= ")


def interval_text(metric: str, delta: float, low: float | None, high: float | None) -> str:
    """`+9.8 (+8.9 to +10.6)`: a difference with its interval."""
    shown, lower, upper = (signed(value, digits_of(metric)) for value in (delta, low, high))
    return f"{shown} ({lower} to {upper})"


def _cell(score: ScoreSummary) -> Text:
    """`14.1 → 23.9 ±0.8 ▲`: baseline, score, half of the confidence interval, arrow where significant."""
    half, digits = (score.high - score.low) / 2, digits_of(score.metric)
    text = Text(f"{score.score:.{digits}f} ±{half:.{digits}f}")
    if score.baseline is not None:
        text = Text.assemble((f"{score.baseline:.{digits}f} → ", "dim"), text)
    if score.verdict is not None:
        text.append(*ARROWS[score.verdict])
    return text


def digits_of(metric: str) -> int:
    """After the point; a status of another version may name a metric that this one does not know."""
    return METRICS[metric].digits - 1 if metric in METRICS else 1
