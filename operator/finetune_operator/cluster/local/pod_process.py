"""One pod's processes as the runner sees them: started, stopped, killed after the grace period, ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from finetune_operator.cluster.local import processes
from finetune_operator.cluster.local.container import Process

INIT = Path(__file__).with_name("pod_init.py")
START_FILE = "start.json"
EXIT_FILE = "exit.json"
KILLED = 137


@dataclass(frozen=True, slots=True)
class Exit:
    """How a pod ended."""

    code: int
    """128 + n for signal n; 128 if it could not start."""
    message: str = ""
    """Why it could not start."""


class PodProcess:
    """Started by `start`; `exit` is set once no process of the pod is left."""

    def __init__(
        self, uid: str, folder: Path, address: str, init: asyncio.subprocess.Process, on_exit: Callable[[], None]
    ) -> None:
        self.address = address
        self.exit: Exit | None = None
        self._uid = uid
        self._folder = folder
        self._init = init
        self._on_exit = on_exit
        self._stop: asyncio.TimerHandle | None = None
        self._waiting = asyncio.create_task(self._wait())

    @classmethod
    async def start(
        cls, uid: str, folder: Path, process: Process, address: str, log: Path, on_exit: Callable[[], None]
    ) -> PodProcess:
        """Start the process; its output is appended to `log`, and `on_exit` is called when it has ended.

        Raises:
            OSError: if folder or log cannot be written.
        """
        start = {"command": process.command, "folder": process.folder}
        (folder / START_FILE).write_text(json.dumps(start), encoding="utf-8")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            init = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(INIT), str(folder), str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=process.environment,
                start_new_session=True,
            )  # fmt: skip
        return cls(uid, folder, address, init, on_exit)

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM to the main process now, SIGKILL to all after the grace period; only the first call counts."""
        if self._stop is None:
            self._signal(signal.SIGTERM)
            self._stop = asyncio.get_running_loop().call_later(grace_seconds, self.kill)

    def kill(self) -> None:
        """SIGKILL to all processes of the pod."""
        self._signal(signal.SIGUSR2)

    async def wait(self) -> None:
        """Until no process of the pod is left."""
        await asyncio.shield(self._waiting)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._init.send_signal(number)

    async def _wait(self) -> None:
        await self._init.wait()
        if self._stop is not None:
            self._stop.cancel()
        self.exit = read_exit(self._folder)
        if self.exit is None:
            # The first process was killed, so nobody has cleaned up after the main one.
            await processes.kill({self._uid})
            self.exit = Exit(KILLED)
        self._on_exit()


def read_exit(folder: Path) -> Exit | None:
    """What the pod's first process has left, or None."""
    try:
        value = json.loads((folder / EXIT_FILE).read_bytes())
        return Exit(int(value["code"]), str(value["message"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
