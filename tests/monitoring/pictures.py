"""Pictures of panels, drawn from what Prometheus answered: to be looked at, without a Grafana."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from finetune_charts.drawing import Series as Line
from finetune_charts.drawing import line_chart
from monitoring.prometheus import Series

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")
STYLE = """
body {font: 14px sans-serif; display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 12px}
figure {margin: 0; border: 1px solid #ccc; padding: 6px} svg {width: 100%; height: auto}
.line {fill: none !important; stroke-width: 2} .dot {stroke: none} .grid, .axis {stroke: #ddd}
text {font-size: 11px; stroke: none}
"""
MOST_SERIES = 8
NAMES = "".join(f".n{i} {{color: {c}}} .s{i} {{stroke: {c}; fill: {c}}}\n" for i, c in enumerate(COLOURS))


def write_pictures(path: Path, panels: Sequence[tuple[str, Sequence[Series]]]) -> Path:
    """One page with a picture for each (title, answer)."""
    figures = []
    for title, series in panels:
        if not series:
            continue
        start = min(one.points[0][0] for one in series)
        lines = [
            Line(_name(one), [(when - start, value) for when, value in one.points]) for one in series[:MOST_SERIES]
        ]
        chart = line_chart(title, lines, "seconds", "")
        names = "<br>".join(f'<span class="n{i}">{escape(line.name)}</span>' for i, line in enumerate(lines))
        figures.append(f"<figure><b>{escape(title)}</b>{chart.svg}<small>{names}</small></figure>")
    page = f"<!doctype html><meta charset=utf-8><title>Panels</title><style>{NAMES}{STYLE}</style>{''.join(figures)}"
    path.write_text(page, encoding="utf-8")
    return path


def _name(series: Series) -> str:
    hidden = ("__name__", "instance", "job", "namespace")
    return ", ".join(f"{k}={v}" for k, v in sorted(series.labels.items()) if k not in hidden) or "all"
