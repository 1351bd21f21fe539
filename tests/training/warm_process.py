"""Programs of the tests as forks of a process that has imported torch and its family: see warm_server.py."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import lifeline
from training.programs import Program

START_SECONDS = 300.0
STOP_SECONDS = 20.0
PACKET_BYTES = 4096
# pyarrow's allocator would have a thread, which no fork would have.
WITHOUT_THREADS = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


class WarmProcess:
    """A program that runs, as `subprocess.Popen` shows one."""

    def __init__(self, program: Program, answers: socket.socket) -> None:
        """`answers` is where the server tells of it."""
        self.args = program.command
        self.returncode: int | None = None
        self._answers = answers
        answers.settimeout(START_SECONDS)
        try:
            packet, descriptors, _, _ = socket.recv_fds(answers, PACKET_BYTES, 1)
            self.pid: int = _parse(packet)["pid"]
        except Exception:
            answers.close()
            raise
        (self._descriptor,) = descriptors

    def poll(self) -> int | None:
        """Its exit code, if it has ended: negative after a signal."""
        return self._read(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended.

        Raises:
            TimeoutExpired: if it takes longer.
        """
        code = self._read(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _read(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            self._answers.settimeout(seconds)
            try:
                self.returncode = _parse(self._answers.recv(PACKET_BYTES))["code"]
            except (BlockingIOError, TimeoutError):
                return None
            self._answers.close()
            os.close(self._descriptor)
        return self.returncode


class WarmServer:
    """The process that forks; it takes requests before its imports are done.

    Args:
        log: what it says itself.
        environment: of its imports.
    """

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "training.warm_server", str(theirs.fileno())]
        with theirs, log.open("wb") as output:
            self._process = lifeline.start(
                command,
                env={**environment, **WITHOUT_THREADS},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
            )

    def start(self, program: Program, environment: Mapping[str, str], *outputs: IO[bytes]) -> WarmProcess:
        """Run a program; `outputs` are its stdout and stderr."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "module": program.module,
            "arguments": program.arguments,
            "environment": dict(environment),
            "folder": str(Path.cwd()),
        }
        with theirs:
            descriptors = [*(output.fileno() for output in outputs), theirs.fileno()]
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        return WarmProcess(program, ours)

    def stop(self) -> None:
        """End it; what it has started ends with it."""
        self._control.close()
        self._process.wait(STOP_SECONDS)


def _parse(packet: bytes) -> dict[str, Any]:
    if not packet:
        raise RuntimeError("the warm server has ended: its log is warm-server.log in pytest's base folder")
    answer: dict[str, Any] = json.loads(packet)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer
