"""Charts as SVG text: pure functions, coloured by the classes of the page's style sheet, told apart by dashes too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 260
INTERVAL_WIDTH = 340
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 10, 42
_ONE_VALUE = 1e-9
"""Share of a value by which others are no other value."""
MOST_POINTS = 240
COLOURS = 8
"""Series classes s0 to s7."""
DASHES = ("", "7 3", "2 3", "10 3 2 3", "14 4", "4 4", "1 4", "8 2 2 2 2 2")


@dataclass(frozen=True, slots=True)
class Series:
    """One line."""

    name: str
    points: Sequence[tuple[float, float]]
    """In order of x."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and what explains it."""

    title: str
    svg: str
    legend: Sequence[str]
    """Names in the order of the colours; empty where one line needs no name."""
    filled: bool = False
    """Areas rather than lines."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """A linear scale from values to pixels."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(title: str, series: Sequence[Series], x_label: str, y_label: str, from_zero: bool = False) -> Chart:
    """Lines over a common x. Series without points are left out; at least one must have some."""
    shown = [Series(s.name, thin(s.points)) for s in series if s.points][:COLOURS]
    values = [y for s in shown for _, y in s.points] + ([0.0] if from_zero else [])
    x_axis, y_axis = _axes([x for s in shown for x, _ in s.points], values)
    marks = []
    for index, line in enumerate(shown):
        path = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in line.points)
        dash = f' stroke-dasharray="{DASHES[index]}"' if DASHES[index] else ""
        name = escape(line.name)
        marks.append(f'<polyline class="line s{index}" points="{path}"{dash}><title>{name}</title></polyline>')
        if len(line.points) == 1:
            x, y = line.points[0]
            marks.append(f'<circle class="dot s{index}" cx="{x_axis.at(x):.1f}" cy="{y_axis.at(y):.1f}" r="3"/>')
    legend = [s.name for s in shown] if len(shown) > 1 else []
    summary = "; ".join(f"{s.name}: {s.points[0][1]:.3g} to {s.points[-1][1]:.3g}" for s in shown)
    return Chart(title, _frame(f"{title}. {summary}", x_axis, y_axis, x_label, y_label, marks), legend)


def share_chart(title: str, steps: Sequence[float], shares: Mapping[str, Sequence[float]], x_label: str) -> Chart:
    """Shares that add up to 1, stacked: one value per step and name."""
    keep = _kept(len(steps))
    xs = [steps[i] for i in keep]
    x_axis, y_axis = _axes(xs, [0.0, 100.0])
    base = [0.0] * len(xs)
    marks = []
    for index, (name, values) in enumerate(list(shares.items())[:COLOURS]):
        top = [b + 100 * values[i] for b, i in zip(base, keep, strict=True)]
        upper = [f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in zip(xs, top, strict=True)]
        lower = [f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in zip(xs, base, strict=True)]
        points = " ".join([*upper, *reversed(lower)])
        marks.append(f'<polygon class="area s{index}" points="{points}"><title>{escape(name)}</title></polygon>')
        base = top
    summary = "; ".join(f"{name}: {values[0]:.0%} to {values[-1]:.0%}" for name, values in shares.items())
    svg = _frame(f"{title}. {summary}", x_axis, y_axis, x_label, "share of the batches, %", marks)
    return Chart(title, svg, list(shares)[:COLOURS], filled=True)


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of an interval chart."""

    label: str
    score: float
    low: float
    high: float
    baseline: float | None


def interval_chart(title: str, rows: Sequence[Interval], x_label: str) -> Chart:
    """A dot with its interval per row, and the baseline as a hollow diamond."""
    width = INTERVAL_WIDTH
    values = [v for r in rows for v in (r.low, r.high, r.score, *([] if r.baseline is None else [r.baseline]))]
    height = TOP + BOTTOM + 44 * len(rows)
    axis = _axis(values, LEFT + 26, width - RIGHT, most_ticks=4)
    bottom = height - BOTTOM
    marks = _x_ticks(axis, bottom)
    marks.append(_text((axis.start + axis.end) / 2, height - 6, x_label, "middle"))
    for index, row in enumerate(rows):
        y = TOP + 44 * index + 22
        x, low, high = axis.at(row.score), axis.at(row.low), axis.at(row.high)
        marks.append(_text(LEFT + 12, y + 4, row.label, "end"))
        if row.baseline is not None:
            b = axis.at(row.baseline)
            marks.append(f'<line class="link" x1="{b:.1f}" y1="{y}" x2="{x:.1f}" y2="{y}"/>')
            marks.append(
                f'<path class="hollow s1" d="M{b:.1f} {y - 6}l6 6l-6 6l-6 -6z">'
                f"<title>baseline {row.baseline:.2f}</title></path>"
            )
        marks.append(
            f'<path class="whisker s0" d="M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 6}v12M{high:.1f} {y - 6}v12"/>'
            f'<circle class="dot s0" cx="{x:.1f}" cy="{y}" r="5">'
            f"<title>{row.score:.2f} ({row.low:.2f} to {row.high:.2f})</title></circle>"
        )
    summary = "; ".join(f"{r.label} {r.score:.2f} ({r.low:.2f} to {r.high:.2f})" for r in rows)
    return Chart(title, _svg(f"{title}. {summary}", width, height, marks), [])


def swatch(index: int, filled: bool = False) -> str:
    """The key of series `index` in a legend."""
    dash = f' stroke-dasharray="{DASHES[index]}"' if DASHES[index] else ""
    line = f'<path class="line s{index}" d="M0 5H26"{dash}/>'
    key = f'<rect class="area s{index}" width="26" height="10"/>' if filled else line
    return f'<svg class="swatch" viewBox="0 0 26 10" aria-hidden="true">{key}</svg>'


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS of the points, first and last among them."""
    return [points[i] for i in _kept(len(points))]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values (1, 2 or 5 times a power of ten) that cover low to high.

    Values that hardly differ are taken for one: marks between them could not be told apart.
    """
    if high - low <= _ONE_VALUE * max(abs(low), abs(high)):
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """As many decimals as the step needs; 12k for 12,000."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if step >= size / 10 and abs(value) >= size:
            return f"{value / size:.{_decimals(step / size)}f}{unit}"
    return f"{value:.{_decimals(step)}f}"


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _kept(count: int) -> list[int]:
    if count <= MOST_POINTS:
        return list(range(count))
    return sorted({round(i * (count - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)})


def _axis(values: Sequence[float], start: float, end: float, most_ticks: int = 5) -> _Axis:
    marks = ticks(min(values), max(values), most_ticks)
    return _Axis(marks[0], marks[-1], start, end, marks)


def _axes(xs: Sequence[float], ys: Sequence[float]) -> tuple[_Axis, _Axis]:
    x_axis = _axis(xs, LEFT, WIDTH - RIGHT, most_ticks=6)
    if max(xs) > min(xs):  # the lines use the whole width; only ticks within it are shown
        inside = [t for t in x_axis.ticks if min(xs) <= t <= max(xs)]
        x_axis = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, inside)
    return x_axis, _axis(ys, HEIGHT - BOTTOM, TOP)


def _frame(summary: str, x_axis: _Axis, y_axis: _Axis, x_label: str, y_label: str, marks: Sequence[str]) -> str:
    step = y_axis.ticks[1] - y_axis.ticks[0]
    grid = []
    for tick in y_axis.ticks:
        y = y_axis.at(tick)
        grid.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        grid.append(_text(LEFT - 6, y + 4, tick_text(tick, step), "end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    labels = [
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, "middle"),
        f'<text transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>',
    ]
    return _svg(summary, WIDTH, HEIGHT, [*grid, *_x_ticks(x_axis, HEIGHT - BOTTOM), *marks, *labels])


def _x_ticks(axis: _Axis, bottom: float) -> list[str]:
    step = axis.ticks[1] - axis.ticks[0] if len(axis.ticks) > 1 else 1.0
    marks = [f'<line class="axis" x1="{axis.start:.0f}" y1="{bottom}" x2="{axis.end:.0f}" y2="{bottom}"/>']
    for tick in axis.ticks:
        x = axis.at(tick)
        marks.append(f'<line class="axis" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 4}"/>')
        marks.append(_text(x, bottom + 17, tick_text(tick, step), "middle"))
    return marks


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(summary: str, width: float, height: float, marks: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(summary)}">{"".join(marks)}</svg>'
    )
