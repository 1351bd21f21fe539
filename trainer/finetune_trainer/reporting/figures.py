"""Numbers and names as people read them."""

from __future__ import annotations

from finetune_api.figures import p_text, signed
from finetune_api.registries import METRICS
from finetune_api.report import NoisedScore, RivalScore, Score

VERDICT_MARKS = {"Better": "▲", "Worse": "▼", "NoDifference": "="}
VERDICT_WORDS = {"Better": "better", "Worse": "worse", "NoDifference": "no difference"}
UNUSABLE_MARK, WARNING_MARK = "✖", "⚠"


def difference_cell(score: Score | RivalScore | NoisedScore) -> str:
    """`+12.85 (+11.50 to +14.20)`: the difference and its 95 % interval."""
    delta, low, high = (
        signed(value, METRICS[score.metric].digits) for value in (score.delta, score.delta_low, score.delta_high)
    )
    return delta if score.delta_low is None else f"{delta} ({low} to {high})"


def score_cell(value: float | None, metric: str) -> str:
    """`31.25`, with as many digits as the metric has."""
    return "–" if value is None else f"{value:.{METRICS[metric].digits}f}"


def segment_score(value: float, metric: str) -> str:
    """`31` on a scale of a hundred, `1.02` on a small one: a segment's score is rough."""
    return f"{value:.{METRICS[metric].digits - 2}f}"


def p_cell(p_value: float | None) -> str:
    """`< 0.001` or `0.03`, for a column with the head p."""
    return "–" if p_value is None else p_text(p_value).removeprefix("p ").removeprefix("= ")


def number(value: float) -> str:
    """Three to four significant digits, thousands with commas: 12,345  123.4  1.23  0.0012."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000 or (float(value).is_integer() and size >= 1):
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"
