"""Reads an OCI archive: its names, its configuration, the sizes of its layers, its files."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from finetune_api.objects import Object

TRUSTED = getattr(tarfile, "fully_trusted_filter", None)
"""Owners and modes as they are written; the first releases of Python 3.11 do nothing else and have no filters."""
WHITEOUT = ".wh."
"""Before the name of a file that a layer deletes."""


@dataclass(frozen=True)
class ImageArchive:
    """An archive that lies unpacked in a folder."""

    folder: Path

    @property
    def names(self) -> list[str]:
        """What `ctr images import` will call it."""
        index = self._read("index.json")
        return [manifest["annotations"]["io.containerd.image.name"] for manifest in index["manifests"]]

    @property
    def configuration(self) -> Object:
        """User, environment, entry point, labels."""
        return cast("Object", self._read(_path(self._manifest["config"]))["config"])

    @property
    def layers(self) -> list[Path]:
        """The archives of the layers, the base first."""
        return [self.folder / _path(layer) for layer in self._manifest["layers"]]

    def unpack(self, root: Path) -> None:
        """Write the files of all layers, as a container runtime would."""
        for layer in self.layers:
            with tarfile.open(layer) as archive:
                archive.extraction_filter = TRUSTED
                for entry in archive:
                    _extract(archive, entry, root)

    @property
    def _manifest(self) -> Object:
        return self._read(_path(self._read("index.json")["manifests"][0]))

    def _read(self, path: str) -> Object:
        return cast("Object", json.loads((self.folder / path).read_text(encoding="utf-8")))


def open_archive(archive: Path, folder: Path) -> ImageArchive:
    """Unpack `archive`, not its layers, into `folder`."""
    with tarfile.open(archive) as tar:
        tar.extraction_filter = TRUSTED
        tar.extractall(folder)
    return ImageArchive(folder)


def unpacked_size(layer: Path) -> int:
    """Bytes of a layer's archive before compression."""
    with layer.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    if not compressed:
        return layer.stat().st_size
    with gzip.open(layer) as stream:
        return sum(len(block) for block in iter(lambda: stream.read(1 << 20), b""))


def entries(layer: Path) -> list[tarfile.TarInfo]:
    """What a layer writes or deletes."""
    with tarfile.open(layer) as archive:
        return archive.getmembers()


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, root: Path) -> None:
    path = root / entry.name
    if path.name.startswith(WHITEOUT):
        deleted = path.with_name(path.name.removeprefix(WHITEOUT))
        shutil.rmtree(deleted) if deleted.is_dir() else deleted.unlink()
        return
    archive.extract(entry, root, numeric_owner=True)


def _path(descriptor: Object) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")
