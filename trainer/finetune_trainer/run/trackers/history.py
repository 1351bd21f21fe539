"""`history.jsonl`: the curves of the report. Appended to, and cut back to the step from which a run resumes."""

from __future__ import annotations

from pathlib import Path

from finetune_api.plan import Plan
from finetune_api.progress import HistoryRow, parse_history_row
from finetune_trainer.run.trackers.interface import Tracker


class History(Tracker):
    """The history file of one run."""

    def __init__(self, _: Plan, path: Path) -> None:
        """`path` is the file; it is made, and an old one cut, by `resume`."""
        self._path = path

    def resume(self, step: int) -> None:
        """See Tracker; also drops a half-written last line; atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_text(encoding="utf-8").split("\n") if self._path.exists() else []
        kept = [line for line in lines if (row := parse_history_row(line)) is not None and row.step <= step]
        replacement = self._path.with_suffix(".tmp")
        replacement.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        replacement.replace(self._path)

    def log(self, row: HistoryRow) -> None:
        """See Tracker."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(row.model_dump_json(by_alias=True, exclude_none=True) + "\n")
