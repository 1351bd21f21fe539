"""How a running job is shown: redrawn in place on a terminal, elsewhere one line per change, as text or JSON."""

from __future__ import annotations

import sys
import termios
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from finetune_api.job import FineTuneJob
from finetune_cli.log_tail import LogTail
from finetune_cli.output import write_json
from finetune_cli.view import change_line, job_view, progress_line, stage_lines

LOG_LINES = 12
PROGRESS_SECONDS = 5.0
"""Between two lines of progress in a file."""
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


class TerminalDisplay:
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


class _LinesDisplay:
    """Line by line."""

    def __init__(self, log_folder: Path | None) -> None:
        """`log_folder`: also print the pods' logs."""
        self._tail = LogTail(log_folder) if log_folder else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def _log_lines(self) -> Iterator[str]:
        if self._tail is not None:
            yield from self._tail.new_lines()


class JsonLinesDisplay(_LinesDisplay):
    """One JSON line per change of state, stage or progress, and per line of the logs: `{"log": "ui-0 | loss 2.1"}`."""

    _last: Mapping[str, object] = MappingProxyType({})

    def show(self, job: FineTuneJob) -> None:
        """Print if something changed."""
        for log_line in self._log_lines():
            write_json({"log": log_line}, indent=None)
        line = change_line(job)
        unchanged = {key: value for key, value in line.items() if key not in ("time", "etaSeconds")}
        if unchanged != self._last:
            self._last = unchanged
            write_json(line, indent=None)


class TextLinesDisplay(_LinesDisplay):
    """One line of text per stage that begins or ends, and per PROGRESS_SECONDS while it runs."""

    _stages: tuple[str, ...] = ()
    _progress: str | None = None
    _progress_due = 0.0

    def show(self, job: FineTuneJob) -> None:
        """Print if something changed."""
        for log_line in self._log_lines():
            print(log_line, flush=True)
        stages = tuple(stage_lines(job))
        changes = [line for line in stages if line not in self._stages]
        self._stages = stages
        now = time.monotonic()
        progress = progress_line(job)
        if progress and not changes and progress != self._progress and now >= self._progress_due:
            self._progress = progress
            self._progress_due = now + PROGRESS_SECONDS
            changes.append(progress)
        for line in changes:
            print(f"{datetime.now(UTC):%H:%M:%S}  {line}", flush=True)


def choose_display(log_folder: Path | None, *, as_json: bool) -> Display:
    """What suits the output; `log_folder`: also show the pods' logs."""
    if as_json:
        return JsonLinesDisplay(log_folder)
    console = Console()
    return TerminalDisplay(console, log_folder) if console.is_terminal else TextLinesDisplay(log_folder)
