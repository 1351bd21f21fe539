"""Numbers and times as people read them, in terminals and in reports."""

from __future__ import annotations

_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def duration(seconds: float) -> str:
    """In text: `4.2 s`, `48 s`, `2 min 41 s`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def short_duration(seconds: float) -> str:
    """In a narrow column: `41s`, `2m41s`, `3h07m`, `2d04h`."""
    whole = max(0, round(seconds))
    minutes, secs = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{secs:02d}s" if minutes else f"{secs}s"


def count(value: float) -> str:
    """`950`, `9.8 k`, `1.2 M`."""
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}" if isinstance(value, float) and not value.is_integer() else f"{int(value):,}"


def bytes_(value: float) -> str:
    """Binary units: `3.1 GiB`."""
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} B"


def p_text(p_value: float) -> str:
    """`p < 0.001`, `p = 0.03`."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def signed(value: float | None, digits: int = 2) -> str:
    """`+1.20` or `−1.20`, with so many `digits` after the point."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """`1.4 %`."""
    return f"{100 * share:.1f} %"


def shots_name(shots: int) -> str:
    """`zero-shot`."""
    return {0: "zero-shot", 1: "one-shot"}.get(shots, f"{shots}-shot")
