"""One run at a time in a workspace."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from finetune_operator.cluster.interface import ClusterError, StorageError

STATE_FOLDER = ".finetune"
"""Of a workspace: what the local cluster keeps."""
LOCK = "lock"
ATTEMPTS = 5


class WorkspaceInUseError(ClusterError):
    """Another process runs in this workspace."""


class WorkspaceLock:
    """Held from construction until `release`, or until the process ends in whatever way.

    Args:
        workspace: its folder.
        shared: held to read; any number of processes may, as long as none runs there.

    Raises:
        WorkspaceInUseError: naming the process that holds it.
        StorageError: if the workspace cannot be written.
    """

    def __init__(self, workspace: Path, *, shared: bool = False) -> None:
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        path = workspace / STATE_FOLDER / LOCK
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+", encoding="ascii", errors="replace")
        except OSError as error:
            raise StorageError(
                f"workspace {workspace} cannot be written: {error.strerror}: choose another folder"
            ) from None
        if not self._acquire():
            self._file.seek(0)
            holder = self._file.read(16).strip() or "unknown"
            self._file.close()
            raise WorkspaceInUseError(
                f"workspace {workspace} is in use by process {holder}: wait until it ends or stop it with Ctrl-C, "
                "or choose another folder"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def _acquire(self) -> bool:
        """Try more than once: `is_workspace_in_use` holds the lock for an instant."""
        for attempt in range(ATTEMPTS):
            with suppress(OSError):
                fcntl.flock(self._file, self._kind | fcntl.LOCK_NB)
                return True
            time.sleep(0.02 * attempt)
        return False

    def release(self) -> None:
        """Let others in."""
        self._file.close()


def is_workspace_in_use(workspace: Path) -> bool:
    """Whether a process runs in a workspace; nothing is changed."""
    try:
        with (workspace / STATE_FOLDER / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
