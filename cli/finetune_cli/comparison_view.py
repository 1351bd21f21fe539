"""Runs beside each other, for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from finetune_api.comparison import ComparedRow, ComparedRun, ComparedScore, ComparedTest, Comparison
from finetune_api.figures import count, short_duration, shots_name
from finetune_api.registries import METRICS
from finetune_cli.score_table import ARROWS, digits_of, interval_text, p_number

_WIDTH = 100
"""Of a table in a file: nobody is served by one that is cut."""


def print_comparison(comparison: Comparison) -> None:
    """A table a test, then what its signs mean."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    runs = {run.name: run for run in comparison.runs}
    for test in comparison.tests:
        console.print(_table(test, runs))
        for note in _notes(test, comparison):
            console.print(Text(note, style="dim"), soft_wrap=True)
        console.print()
    for line in _legend(comparison):
        console.print(Text(line, style="dim"), soft_wrap=True)


def _table(test: ComparedTest, runs: dict[str, ComparedRun]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.title = Text(f"{test.name} {shots_name(test.shots)} · {test.segments:,} segments", style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("run", overflow="fold")
    for title in ("score", "difference (95 %)", "p", "tokens", "time", "device time"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("front", no_wrap=True)
    metrics = dict.fromkeys(score.metric for row in test.rows for score in row.scores)
    for metric in metrics:
        for row in test.rows:
            score = next((score for score in row.scores if score.metric == metric), None)
            if score is not None:
                title = metric if row is test.rows[0] else ""
                cost = _cost(row, runs[row.run]) if metric == test.metric else ("", "", "", "")
                table.add_row(Text(title, style="bold"), row.run, _score(score), *_difference(score), *cost)
    return table


def _score(score: ComparedScore) -> Text:
    """`23.9 ±0.8 ▲`: with half of its own interval, and an arrow where the difference counts."""
    half, after = (score.high - score.low) / 2, digits_of(score.metric)
    text = Text(f"{score.score:.{after}f} ±{half:.{after}f}")
    return text.append(*ARROWS[score.verdict]) if score.verdict else text.append("  ")


def _difference(score: ComparedScore) -> tuple[str, str]:
    if score.delta is None:
        return "–", "–"
    return interval_text(score.metric, score.delta, score.delta_low, score.delta_high), p_number(score.p_adjusted)


def _cost(row: ComparedRow, run: ComparedRun) -> tuple[str, str, str, str]:
    tokens = "–" if run.tokens is None else count(run.tokens)
    seconds = "–" if run.seconds is None else short_duration(run.seconds)
    devices = "–" if run.device_seconds is None else short_duration(run.device_seconds)
    return tokens, seconds, devices, "yes" if row.on_front else "no" if row.on_front is not None else "–"


def _notes(test: ComparedTest, comparison: Comparison) -> list[str]:
    alone = [f"{row.run} is not comparable: {row.not_comparable}" for row in test.rows if row.not_comparable]
    here = {row.run for row in test.rows}
    return alone + [f"{run.name} has no such test" for run in comparison.runs if run.name not in here]


def _legend(comparison: Comparison) -> list[str]:
    first = comparison.runs[0].name
    called = "resamples" if comparison.method == "PairedBootstrap" else "trials"
    shown = dict.fromkeys(score.metric for test in comparison.tests for row in test.rows for score in row.scores)
    lower = [metric for metric in shown if metric in METRICS and METRICS[metric].lower_is_better]
    counts = f"▲ better and ▼ worse at p < {comparison.level:g}"
    how = f"paired over segments, {comparison.samples:,} {called}; p after Holm's correction for all of them"
    cost = "tokens and time: of all stages that trained the model, its parents' too; device time: times their devices"
    front = "front: no other run is as good in score, tokens and device time and better in one"
    lines = [f"Differences to {first}, {how}, {counts}.", f"{cost}. {front}."]
    reused = [f"{run.name} {count(run.reused_tokens)}" for run in comparison.runs if run.reused_tokens]
    if reused:
        lines.append(f"Of the tokens, trained by a parent already: {', '.join(reused)}.")
    if lower:
        lines.append(f"Of {' and '.join(lower)}, less is better.")
    return lines
