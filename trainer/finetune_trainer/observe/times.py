"""Where the wall time of a rank went."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

TimeKind = Literal["productive", "startup", "data", "checkpoint", "evaluation", "recompute", "idle"]


class TimeAccount:
    """Seconds by kind. Start-up is what passes before the first second of work, and is booked then."""

    def __init__(self, book: Callable[[str, float], None], started: float) -> None:
        """`book(kind, seconds)` is called with each amount; `started` is on the clock of time.monotonic()."""
        self._book = book
        self._started = started
        self._seconds: dict[str, float] = {}

    def add(self, kind: TimeKind, seconds: float) -> None:
        """Account `seconds` (negative ones, from clocks that differ, count as 0) that have just passed to `kind`."""
        seconds = max(0.0, seconds)
        if kind in ("productive", "recompute") and "startup" not in self._seconds:
            elsewhere = sum(self._seconds.values())
            self._count("startup", max(0.0, time.monotonic() - self._started - seconds - elsewhere))
        self._count(kind, seconds)

    def _count(self, kind: str, seconds: float) -> None:
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds
        self._book(kind, seconds)

    def seconds(self, kind: TimeKind) -> float:
        """Total of one kind."""
        return self._seconds.get(kind, 0.0)
