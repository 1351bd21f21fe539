"""Files that are whole after a crash, and whether they are what was written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CHEAP_BYTES = 4 * 2**20
"""Files up to this size are hashed again when an artifact is looked up; of larger ones only the size is compared."""


def sha256_file(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    sync_file(path)


def write_durably(path: Path, text: str) -> None:
    """Replace a file atomically: readers see the old or the new content, also after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def looks_unchanged(path: Path, size: int | None, digest: str, cheap_bytes: int = CHEAP_BYTES) -> bool:
    """Whether a file has this size and, if it is not larger than `cheap_bytes`, this sha256."""
    try:
        actual = path.stat().st_size
        return actual == size and (actual > cheap_bytes or sha256_file(path) == digest)
    except OSError:
        return False
