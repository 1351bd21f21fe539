"""Objects as files: `<folder>/<Kind>/<namespace>/<name>.json`, and a counter of resource versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from finetune_api.objects import Object
from finetune_operator.cluster.interface import Reference, StorageError
from finetune_operator.cluster.local.disk import TEMPORARY_SUFFIX, Disk, replace_file

CLUSTER_WIDE = "_"
VERSION_FILE = "version"
VERSIONS_PER_RESERVATION = 1000


@dataclass(slots=True)
class Stored:
    """An object, and what was last applied: the fields that our one field manager owns."""

    object: Object
    applied: Object


class ObjectFolder:
    """Keeps objects; every method either takes effect durably or raises and leaves the old state.

    Raises:
        StorageError: from every method, naming the file and the remedy.
    """

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder
        self._disk = disk or Disk()
        self._version = 0
        self._reserved = 0

    def load(self) -> dict[Reference, Stored]:
        """All objects. What a crash left half-written is removed: it never became part of the state."""
        objects: dict[Reference, Stored] = {}
        with self._plain_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            for temporary in self._folder.rglob(f".*{TEMPORARY_SUFFIX}"):
                self._disk.remove(temporary)
            for path in sorted(self._folder.glob("*/*/*.json")):
                reference, stored = self._read(path)
                objects[reference] = stored
            self._version = self._reserved = max(
                self._read_version(), *(int(s.object["metadata"]["resourceVersion"]) for s in objects.values()), 0
            )
        return objects

    def next_version(self) -> str:
        """A resource version higher than any before, also after a crash: numbers are reserved before they are used."""
        if self._version >= self._reserved:
            reserved = self._version + VERSIONS_PER_RESERVATION
            path = self._folder / VERSION_FILE
            with self._plain_errors(path):
                replace_file(self._disk, path, str(reserved).encode())
            self._reserved = reserved
        self._version += 1
        return str(self._version)

    def write(self, reference: Reference, stored: Stored) -> None:
        """Create or replace."""
        path = self._path(reference)
        content = json.dumps({"object": stored.object, "applied": stored.applied}, indent=1, ensure_ascii=False)
        with self._plain_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._disk, path, content.encode())

    def remove(self, reference: Reference) -> None:
        """Remove."""
        path = self._path(reference)
        with self._plain_errors(path):
            self._disk.remove(path)
            self._disk.sync_folder(path.parent)

    def _path(self, reference: Reference) -> Path:
        return self._folder / reference.kind / (reference.namespace or CLUSTER_WIDE) / f"{reference.name}.json"

    def _read(self, path: Path) -> tuple[Reference, Stored]:
        try:
            value = json.loads(path.read_bytes())
            stored = Stored(value["object"], value["applied"])
            metadata = stored.object["metadata"]
            reference = Reference(stored.object["kind"], metadata.get("namespace", ""), metadata["name"])
            int(metadata["resourceVersion"])
            is_whole = self._path(reference) == path and isinstance(stored.applied, dict) and bool(metadata["uid"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(path, str(error)) from None
        if not is_whole:
            raise self._damaged(path, "it is not the object of its name")
        return reference, stored

    def _read_version(self) -> int:
        path = self._folder / VERSION_FILE
        try:
            return int(path.read_bytes())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise self._damaged(path, str(error)) from None

    def _damaged(self, path: Path, reason: str) -> StorageError:
        return StorageError(
            f"{path} is damaged ({reason}): remove the folder {self._folder} and run again; "
            "finished stages are kept beside it and are not repeated"
        )

    @contextmanager
    def _plain_errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{error.filename or path}: {error.strerror or error}: make room or give permission, then run again"
            ) from None
