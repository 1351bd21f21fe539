"""Files of one folder, each synced to the disk and hashed while it is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What a file was when it was closed."""

    size: int
    """Bytes."""
    sha256: str


class HashingFile:
    """As much of a binary file as writers like torch.save ask for; it hashes what goes through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append all of `data`."""
        self._hash.update(data)
        written = self._file.write(data)
        self._size += written
        return written

    def flush(self) -> None:
        """Hand all that was written to the kernel."""
        self._file.flush()

    def written(self) -> WrittenFile:
        """Size and digest so far."""
        return WrittenFile(self._size, self._hash.hexdigest())


class FolderWriter:
    """Writes into one folder, which others may write into as well, and knows what it wrote."""

    def __init__(self, folder: Path) -> None:
        """`folder` exists."""
        self._folder = folder
        self.files: dict[str, WrittenFile] = {}
        """By path within the folder."""

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A new file of that path, to be written from start to end; durable when the block has ended well.

        Raises:
            OSError: disk full and the like.
        """
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as raw:
            file = HashingFile(raw)
            yield cast("BinaryIO", file)
            file.flush()
            os.fsync(raw.fileno())
        self.files[name] = file.written()
