"""`history.jsonl`: the run's curves. Appended to, and cut back to the step from which a run resumes."""

from __future__ import annotations

from pathlib import Path

from finetune_api.progress import HistoryRow


class History:
    """The history file of one run; written by rank 0, a no-op elsewhere."""

    def __init__(self, path: Path, is_main: bool) -> None:
        self.path = path
        self._is_main = is_main

    def append(self, row: HistoryRow) -> None:
        """Add a row."""
        if self._is_main:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(row.model_dump_json(by_alias=True, exclude_none=True) + "\n")

    def cut(self, step: int) -> None:
        """Drop the rows after `step`, and a half-written last line; atomically."""
        if not self._is_main:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if (row := _parse(line)) is not None and row.step <= step]
        replacement = self.path.with_suffix(".tmp")
        replacement.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        replacement.replace(self.path)


def read_history(path: Path) -> list[HistoryRow]:
    """All whole rows of a history file."""
    rows = (_parse(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [row for row in rows if row is not None]


def _parse(line: str) -> HistoryRow | None:
    try:
        return HistoryRow.model_validate_json(line)
    except ValueError:
        return None
