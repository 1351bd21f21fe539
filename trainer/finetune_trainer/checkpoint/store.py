"""Checkpoints on disk: how they are made durable, found, verified and thrown away. One process writes."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from finetune_api.base import ApiModel
from finetune_trainer.workspace.files import looks_unchanged, sha256_file, sync_file, sync_folder, write_durably

MANIFEST = "checkpoint.json"
_TEMPORARY = ".writing-"
_log = logging.getLogger(__name__)


class CheckpointFile(ApiModel):
    """One file of a checkpoint."""

    size: int = Field(ge=0)
    """Bytes."""
    sha256: str


class CheckpointManifest(ApiModel):
    """`checkpoint.json`; written last."""

    identity: str
    """Fingerprint of the plan that it belongs to."""
    step: int = Field(ge=0)
    metric: float | None = None
    """Validation loss, if there was one."""
    world_size: int = Field(ge=1)
    """Ranks that wrote it."""
    files: dict[str, CheckpointFile]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CheckpointEntry:
    """A checkpoint whose manifest is there."""

    path: Path
    step: int
    metric: float | None
    world_size: int
    size: int
    """Bytes of all files."""


def folder_name(step: int) -> str:
    """Sorts by step."""
    return f"step-{step:010d}"


def begin(root: Path, step: int) -> Path:
    """An empty temporary folder to write the checkpoint of `step` into. Left-overs of a killed run are removed."""
    root.mkdir(parents=True, exist_ok=True)
    for stale in root.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(stale)
    folder = root / f"{_TEMPORARY}{folder_name(step)}"
    folder.mkdir()
    return folder


def publish(folder: Path, identity: str, step: int, metric: float | None, world_size: int) -> CheckpointEntry:
    """Make a folder from `begin` durable under its final name.

    Every file is hashed and synced, then the manifest, then the folders, then the name: whatever interrupts this,
    there is either a whole checkpoint or a temporary folder that nobody loads.

    Raises:
        OSError: disk full and the like; the temporary folder is left for the caller to remove.
    """
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sync_file(path)
        name = path.relative_to(folder).as_posix()
        files[name] = CheckpointFile(size=path.stat().st_size, sha256=sha256_file(path))
    # NaN cannot be compared; it is nobody's best.
    kept_metric = metric if metric is not None and math.isfinite(metric) else None
    manifest = CheckpointManifest(
        identity=identity,
        step=step,
        metric=kept_metric,
        world_size=world_size,
        files=files,
        created_at=datetime.now(UTC),
    )
    write_durably(folder / MANIFEST, manifest.model_dump_json(by_alias=True, indent=1) + "\n")
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        sync_folder(path)
    final = folder.parent / folder_name(step)
    discard(final)
    folder.rename(final)
    sync_folder(final.parent)
    return _entry(final, manifest)


def _entry(path: Path, manifest: CheckpointManifest) -> CheckpointEntry:
    size = sum(file.size for file in manifest.files.values())
    return CheckpointEntry(path, manifest.step, manifest.metric, manifest.world_size, size)


def discard(path: Path) -> None:
    """Remove a checkpoint, its manifest first, so that an interruption does not leave something half valid."""
    (path / MANIFEST).unlink(missing_ok=True)
    if path.exists():
        shutil.rmtree(path)


def list_entries(root: Path, identity: str) -> list[CheckpointEntry]:
    """Checkpoints of this identity, oldest first, by their manifests alone (not verified)."""
    entries = []
    for path in sorted(root.glob("step-*")):
        manifest = _read_manifest(path)
        if isinstance(manifest, CheckpointManifest) and manifest.identity == identity:
            entries.append(_entry(path, manifest))
    return entries


def _read_manifest(path: Path) -> CheckpointManifest | str:
    try:
        return CheckpointManifest.model_validate_json((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "it has no manifest: writing it was interrupted"
    except (OSError, ValidationError, UnicodeDecodeError):
        return "its manifest cannot be read"


def verify(path: Path, identity: str) -> CheckpointEntry | str:
    """The checkpoint in `path` if each byte is what was written; otherwise what is wrong with it.

    Files that the manifest does not list are refused as well: they may be pickles that someone put there.
    """
    manifest = _read_manifest(path)
    if isinstance(manifest, str):
        return manifest
    if manifest.identity != identity:
        return "it belongs to another configuration or other data"
    present = {p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir() or p.is_symlink()}
    foreign = present - manifest.files.keys() - {MANIFEST}
    if foreign:
        return f"{min(foreign)} is not listed in its manifest"
    for name, file in manifest.files.items():
        if name not in present:
            return f"{name} is missing"
        if (path / name).is_symlink():
            return f"{name} is a link"
        if not looks_unchanged(path / name, file.size, file.sha256, cheap_bytes=file.size):
            return f"{name} is damaged (size or sha256 differ)"
    return _entry(path, manifest)


def newest_valid(root: Path, identity: str) -> CheckpointEntry | None:
    """The newest checkpoint that verifies. Each one passed over is logged with the reason."""
    for path in sorted(root.glob("step-*"), reverse=True):
        found = verify(path, identity)
        if isinstance(found, CheckpointEntry):
            return found
        _log.warning("checkpoint %s is not used: %s", path.name, found)
    return None


def best_valid(root: Path, identity: str) -> CheckpointEntry | None:
    """The checkpoint with the lowest metric that verifies; the earlier one of equals."""
    for entry in sorted(list_entries(root, identity), key=_by_metric):
        if entry.metric is None:
            continue
        found = verify(entry.path, identity)
        if isinstance(found, CheckpointEntry):
            return found
        _log.warning("checkpoint %s is not used: %s", entry.path.name, found)
    return None


def _by_metric(entry: CheckpointEntry) -> tuple[float, int]:
    return (math.inf if entry.metric is None else entry.metric, entry.step)


def superfluous(entries: Sequence[CheckpointEntry], keep_last: int, keep_best: int) -> list[CheckpointEntry]:
    """Which of `entries` retention removes: all but the newest `keep_last` and the best `keep_best` of them."""
    by_age = sorted(entries, key=lambda e: e.step, reverse=True)
    scored = sorted((e for e in entries if e.metric is not None), key=_by_metric)
    kept = {e.step for e in by_age[:keep_last]} | {e.step for e in scored[:keep_best]}
    return [e for e in by_age if e.step not in kept]


def prune(root: Path, identity: str, keep_last: int, keep_best: int) -> None:
    """Apply retention to this identity; checkpoints of another one cannot be used any more and go, too."""
    entries = list_entries(root, identity)
    kept = {e.path for e in entries} - {e.path for e in superfluous(entries, keep_last, keep_best)}
    for path in sorted(root.glob("step-*")):
        if path not in kept:
            discard(path)


FreeBytes = Callable[[Path], int]


def free_bytes(path: Path) -> int:
    """Free space of the file system that holds `path`."""
    return shutil.disk_usage(path).free
