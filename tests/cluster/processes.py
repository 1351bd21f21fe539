"""A program beside a test, from its start to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import lifeline
from cluster.control_plane import STOP_SECONDS


@contextmanager
def beside(
    command: Sequence[str | Path], log: Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs until the block ends, and is stopped by pid then, or is killed with this process; `log` gets what it says.

    Args:
        command: program and arguments.
        log: written anew.
        folder: working directory; None: that of the caller.
        environment: all of its variables; None: those of the caller.
    """
    with log.open("wb") as output:
        process = lifeline.start(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environment
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
