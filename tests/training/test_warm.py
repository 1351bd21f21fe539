"""A fork of the warm server is what the same program is in an interpreter of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from training.conftest import TESTS
from training.programs import Program
from training.warm_process import WarmProcess, WarmServer

DEADLINE_SECONDS = 60.0
TELL = """
import json, os, signal, sys
handlers = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
open_files = sorted(os.path.realpath(f"/proc/self/fd/{fd}") for fd in (0, 1, 2))
print(json.dumps([sys.argv, sys.path, dict(os.environ), os.getcwd(), handlers, open_files, os.umask(0)]))
"""


def run(server: WarmServer, code: str, folder: Path, **variables: str) -> WarmProcess:
    """Run code as a fork; its outputs go to files of the folder."""
    program = Program("training.snippet", (code,))
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        return server.start(program, environment(**variables), out, err)


def environment(**variables: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(TESTS)} | variables


def told(folder: Path) -> Any:
    return json.loads((folder / "out").read_text())


def test_a_fork_sees_what_a_fresh_program_sees(
    tmp_path: Path, warm_server: WarmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(warm_server, "import os; os.environ['LEAK'] = '1'; os.chdir('/')", tmp_path, OTHER="1").wait(DEADLINE_SECONDS)
    assert run(warm_server, TELL, tmp_path, OWN="1").wait(DEADLINE_SECONDS) == 0
    warm = told(tmp_path)
    command = Program("training.snippet", (TELL,)).command
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        subprocess.run(command, env=environment(OWN="1"), stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=True)
    assert warm == told(tmp_path)
    assert (tmp_path / "err").read_text() == ""


@pytest.mark.parametrize(
    ("code", "exit_code", "says"),
    [
        ("raise SystemExit(64)", 64, ""),
        ("raise ZeroDivisionError('nought')", 1, "ZeroDivisionError: nought"),
        ("import os; os.kill(os.getpid(), 11)", -11, ""),
    ],
)
def test_a_fork_ends_as_a_fresh_program_does(
    code: str, exit_code: int, says: str, tmp_path: Path, warm_server: WarmServer
) -> None:
    process = run(warm_server, code, tmp_path)
    assert process.wait(DEADLINE_SECONDS) == process.poll() == exit_code
    assert says in (tmp_path / "err").read_text()


def test_signals_reach_the_fork_itself(tmp_path: Path, warm_server: WarmServer) -> None:
    process = run(warm_server, "import os, signal; print(os.getpid(), flush=True); signal.pause()", tmp_path)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (tmp_path / "out").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.pid == told(tmp_path)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_SECONDS) == -signal.SIGTERM
    process.kill()


def test_a_variable_that_imports_have_read_is_refused(tmp_path: Path, warm_server: WarmServer) -> None:
    with pytest.raises(RuntimeError, match="OMP_NUM_THREADS take effect at imports"):
        run(warm_server, TELL, tmp_path, OMP_NUM_THREADS="3")
