"""Programs that end with the tests: the kernel kills them when the process that started them is gone."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec nothing may wait for a lock that another thread held.
_LIBC = ctypes.CDLL(None, use_errno=True)


def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen(command, **options)` of a program that a SIGKILL of this process kills, too.

    Raises:
        RuntimeError: on any thread but the main one: the kernel looks at the thread, and would kill the program when
            that thread ends.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{command[0]} is started on a thread, and would end with it: start it on the main thread")
    return subprocess.Popen(command, preexec_fn=bind_to(os.getpid()), **options)  # noqa: PLW1509 - calls nothing else


def bind_to(parent: int) -> Callable[[], None]:
    """What a new child of `parent` calls to be killed with it."""

    def bind() -> None:
        if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        if os.getppid() != parent:  # it died before the kernel knew that it matters
            os.kill(os.getpid(), signal.SIGKILL)

    return bind
