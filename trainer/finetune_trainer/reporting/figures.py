"""Numbers and names as people read them."""

from __future__ import annotations

from finetune_api.figures import p_text

VERDICT_MARKS = {"Better": "▲", "Worse": "▼", "NoDifference": "="}
VERDICT_WORDS = {"Better": "better", "Worse": "worse", "NoDifference": "no difference"}


def shots_name(shots: int) -> str:
    """`zero-shot`."""
    return {0: "zero-shot", 1: "one-shot"}.get(shots, f"{shots}-shot")


def p_cell(p_value: float | None) -> str:
    """`< 0.001` or `0.03`, for a column with the head p."""
    return "–" if p_value is None else p_text(p_value).removeprefix("p ").removeprefix("= ")


def signed(value: float | None) -> str:
    """`+1.20` or `−1.20`."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


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


def percent(share: float) -> str:
    """`1.4 %`."""
    return f"{100 * share:.1f} %"
