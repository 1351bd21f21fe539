"""One run at a time in a workspace."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from finetune_operator.cluster.interface import ClusterError, StorageError


class WorkspaceInUseError(ClusterError):
    """Another process runs in this workspace."""


class WorkspaceLock:
    """Held from construction until `release`, or until the process ends in whatever way.

    Raises:
        WorkspaceInUseError: naming the process that holds it.
        StorageError: if the workspace cannot be written.
    """

    def __init__(self, path: Path, workspace: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+", encoding="ascii", errors="replace")
        except OSError as error:
            raise StorageError(
                f"workspace {workspace} cannot be written: {error.strerror}: choose another folder"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
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

    def release(self) -> None:
        """Let others in."""
        self._file.close()
