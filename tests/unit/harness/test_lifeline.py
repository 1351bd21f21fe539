"""What tests start ends with the tests, even if these are killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import lifeline

TESTS = Path(lifeline.__file__).parent
DEADLINE_SECONDS = 30.0
PARENT = """
import signal, sys, lifeline
print(lifeline.start(["sleep", "1000"]).pid, flush=True)
signal.pause()
"""
ORPHAN = """
import os, lifeline
bind = lifeline.bind_to(os.getppid() + 1)
bind()
"""


def test_a_program_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environment(), stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            assert select.select([child], [], [], DEADLINE_SECONDS)[0], "the program outlived its parent"
        finally:
            os.close(child)


def test_a_program_whose_parent_was_gone_before_ends_at_once() -> None:
    code = subprocess.run([sys.executable, "-c", ORPHAN], env=environment(), check=False).returncode
    assert code == -signal.SIGKILL


def test_a_thread_starts_nothing_that_would_end_with_it() -> None:
    errors: list[str] = []

    def start() -> None:
        with pytest.raises(RuntimeError) as caught:
            lifeline.start(["true"])
        errors.append(str(caught.value))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "start it on the main thread" in errors[0]


def test_options_are_those_of_popen(tmp_path: Path) -> None:
    process = lifeline.start(["pwd"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.communicate(timeout=DEADLINE_SECONDS)[0].strip() == str(tmp_path)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(TESTS)}
