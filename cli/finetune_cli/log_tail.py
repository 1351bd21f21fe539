"""Following the pods' log files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class LogTail:
    """New lines of all pods' log files since the last look."""

    def __init__(self, folder: Path, stage: str | None = None, rank: int | None = None) -> None:
        """`stage` and `rank` narrow it down."""
        self._folder = folder
        self._stage = stage
        self._rank = rank
        self._positions: dict[Path, int] = {}

    def new_lines(self) -> Iterator[str]:
        """Whole lines only; a line being written comes with the next look."""
        for path in sorted(self._folder.glob("*.log"), key=lambda p: p.stat().st_ctime):
            if not self._matches(path.stem):
                continue
            with path.open("rb") as file:
                file.seek(self._positions.get(path, 0))
                content = file.read()
            whole, newline, _ = content.rpartition(b"\n")
            if newline:
                self._positions[path] = self._positions.get(path, 0) + len(whole) + 1
                yield from (f"{path.stem} | {line}" for line in whole.decode(errors="replace").split("\n"))

    def _matches(self, pod: str) -> bool:
        in_stage = self._stage is None or f"-{self._stage}-" in f"{pod}-"
        return in_stage and (self._rank is None or pod.endswith(f"-{self._rank}"))
