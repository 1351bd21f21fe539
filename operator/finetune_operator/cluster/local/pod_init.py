"""The first process of a local pod, as PID 1 is that of a container: what it starts ends with it.

Run as `python -I -S pod_init.py FOLDER PARENT`, standard library only. FOLDER/start.json has what to start; the
exit code goes to FOLDER/exit.json once no process of the pod is left. Signals:
SIGTERM is passed on to the main process. SIGUSR2 ends everything at once. SIGUSR1 comes from the kernel when the
runner has died: the main process gets SIGTERM and a little time.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ORPHAN_GRACE_SECONDS = 10.0
CLEANUP_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD}


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process; see the manual page of prctl.

    Raises:
        OSError: if the kernel refuses.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """Run the pod of the folder given as first argument."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != parent:
        return  # the runner died before the kernel knew that it matters
    start = json.loads((folder / "start.json").read_bytes())
    try:
        process = start_main(start)
    except OSError as error:
        finish(folder, 128, f"cannot start {start['command'][0]}: {error.strerror}")
        return
    code = supervise(process.pid)
    process.returncode = code
    kill_descendants()
    finish(folder, code)


def start_main(start: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the container's command in a session of its own, so that a terminal's Ctrl-C does not reach it."""

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return subprocess.Popen(
        start["command"],
        stdin=subprocess.DEVNULL,
        cwd=start["folder"],
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509 - there are no threads here
    )


def supervise(main_pid: int) -> int:
    """Wait for the main process and pass signals on; returns its exit code, 128 + n for a signal."""
    deadline: float | None = None
    while True:
        if deadline is None:
            number = signal.sigwaitinfo(SIGNALS).si_signo
        else:
            info = signal.sigtimedwait(SIGNALS, max(0.0, deadline - time.monotonic()))
            number = signal.SIGUSR2 if info is None else info.si_signo
        if number == signal.SIGCHLD:
            code = reap(main_pid)
            if code is not None:
                return code
        elif number == signal.SIGUSR2:
            deadline = None
            kill_tree()
        else:
            os.kill(main_pid, signal.SIGTERM)
            if number == signal.SIGUSR1:
                deadline = time.monotonic() + ORPHAN_GRACE_SECONDS


def reap(main_pid: int) -> int | None:
    """Take in all processes that have ended; the exit code of the main one if it is among them."""
    code = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == main_pid:
                value = os.waitstatus_to_exitcode(ended[1])
                code = value if value >= 0 else 128 - value
    return code


def kill_descendants() -> None:
    """Kill and take in whatever the main process has left behind."""
    end = time.monotonic() + CLEANUP_SECONDS
    while time.monotonic() < end:
        kill_tree()
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def kill_tree() -> None:
    """SIGKILL to all processes below this one, whatever session they have moved to."""
    for pid in descendants():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants() -> list[int]:
    """All processes below this one: orphans come back to it, since it is their subreaper."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text(errors="replace")
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = list(children.get(os.getpid(), ()))
    for pid in found:
        found += children.get(pid, ())
    return found


def finish(folder: Path, code: int, message: str = "") -> None:
    """Leave the exit code, as a whole or not at all."""
    temporary = folder / ".exit.json"
    temporary.write_text(json.dumps({"code": code, "message": message, "time": time.time()}))
    temporary.replace(folder / "exit.json")


if __name__ == "__main__":
    main()
