"""Steps of a check that go wrong, each in a way of its own."""

from __future__ import annotations

import os
import signal
import time
from typing import NoReturn

from gpu.measure import Recorder
from gpu.shapes import Scale


def good(record: Recorder, _: Scale) -> None:
    record.case("sum", lambda: {"sum": 2, "checks": {"it is two": True}})


def uneven(record: Recorder, _: Scale) -> None:
    record.case("false", lambda: {"checks": {"one is two": False}})
    record.case("raises", _raise)
    record.case("true", dict)


def _raise() -> NoReturn:
    raise ValueError("no such thing")


def breaks(_: Recorder, __: Scale) -> None:
    os.write(2, b"the last words\n")
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(_: Recorder, __: Scale) -> None:
    os.write(1, b"waiting\n")
    time.sleep(600)
