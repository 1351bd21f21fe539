"""Signals are noticed at once, even while the main thread is inside a collective, and only ever set a flag."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def listen(react: Callable[[int], None]) -> None:
    """Call `react(signal number)` on a thread of its own for each SIGTERM and SIGINT.

    A Python signal handler waits until the main thread is back in the interpreter, which may take minutes in a
    rendezvous or a collective. The wake-up descriptor is written by the C handler immediately.
    Replaces what an earlier call (also one before a fork) has set up. Main thread only.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def read() -> None:
        while received := os.read(reader, 1):
            react(received[0])

    threading.Thread(target=read, name="signals", daemon=True).start()
