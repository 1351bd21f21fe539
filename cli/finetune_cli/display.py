"""How a running job is shown: redrawn in place on a terminal, one JSON line per change elsewhere."""

from __future__ import annotations

import json
import sys
import termios
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from finetune_api.job import FineTuneJob
from finetune_cli.log_tail import LogTail
from finetune_cli.view import change_line, job_view

LOG_LINES = 12
LOCAL_MODES = 3
"""Place of the local modes in what `termios.tcgetattr` returns."""


def hide_control_echo() -> Callable[[], None]:
    """Ctrl-C does not print `^C`, which would move the lines that are redrawn; returns what undoes this."""
    if not sys.stdin.isatty():
        return lambda: None
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    quiet = [*before]
    quiet[LOCAL_MODES] &= ~termios.ECHOCTL
    termios.tcsetattr(terminal, termios.TCSANOW, quiet)
    return lambda: termios.tcsetattr(terminal, termios.TCSANOW, before)


class Display(Protocol):
    """Shows a job while it runs."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        ...

    def show(self, job: FineTuneJob) -> None:
        """Called on each change and a few times a second."""
        ...


class SilentDisplay:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, job: FineTuneJob) -> None:
        """Nothing."""


class TerminalDisplay(SilentDisplay):
    """Redraws in place."""

    def __init__(self, console: Console, log_folder: Path | None) -> None:
        """`log_folder`: also show the newest lines of the pods' logs."""
        self._live = Live(console=console, refresh_per_second=4)
        self._tail = LogTail(log_folder) if log_folder else None
        self._lines: deque[str] = deque(maxlen=LOG_LINES)

    def __enter__(self) -> Self:
        self._restore_echo = hide_control_echo()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._restore_echo()

    def show(self, job: FineTuneJob) -> None:
        """Redraw."""
        if self._tail is not None:
            self._lines.extend(self._tail.new_lines())
        self._live.update(job_view(job, datetime.now(UTC), self._lines))


class JsonLinesDisplay(SilentDisplay):
    """One JSON line per change of state, stage or progress."""

    def __init__(self, log_folder: Path | None) -> None:
        """`log_folder`: also print the pods' logs, as they are."""
        self._tail = LogTail(log_folder) if log_folder else None
        self._last: dict[str, object] = {}

    def show(self, job: FineTuneJob) -> None:
        """Print if something changed."""
        if self._tail is not None:
            for log_line in self._tail.new_lines():
                print(log_line, flush=True)
        line = change_line(job)
        unchanged = {key: value for key, value in line.items() if key not in ("time", "etaSeconds")}
        if unchanged != self._last:
            self._last = unchanged
            print(json.dumps(line, ensure_ascii=False), flush=True)


def choose_display(log_folder: Path | None, *, silent: bool) -> Display:
    """What suits the output; `log_folder`: also show the pods' logs."""
    console = Console()
    if silent:
        return SilentDisplay()
    return TerminalDisplay(console, log_folder) if console.is_terminal else JsonLinesDisplay(log_folder)
