"""The few ways in which the store touches the disk; each either happens or leaves things as they were."""

from __future__ import annotations

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"


class Disk:
    """Real files. Tests replace single steps to crash between them."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a file and wait until it is on the disk; a crash may leave any part of it."""
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Replace `target` as a whole."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file; no error if it is gone already."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make renames and removals in `folder` survive a power cut."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_file(disk: Disk, path: Path, content: bytes) -> None:
    """Write `path` as a whole: a reader, now or after a crash, sees the old content or the new one.

    Raises:
        OSError: and the old content is still there.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    disk.write(temporary, content)
    disk.rename(temporary, path)
    disk.sync_folder(path.parent)
