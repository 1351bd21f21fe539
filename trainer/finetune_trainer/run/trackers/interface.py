"""What a tracker is."""

from __future__ import annotations

from typing import Protocol

from finetune_api.progress import HistoryRow


class Tracker(Protocol):
    """Keeps the curves of one run; on rank 0 only. Made from (plan, path of the run's own history)."""

    def resume(self, step: int) -> None:
        """Forget the rows after `step`; -1: all. Their steps did not survive."""
        ...

    def log(self, row: HistoryRow) -> None:
        """Add a row."""
        ...
