"""Checkpoints on disk: how they are made durable, found, verified and thrown away. Rank 0 names and removes them."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from finetune_api.base import ApiModel
from finetune_trainer.distributed import Ranks
from finetune_trainer.workspace.files import looks_unchanged, sync_folder, write_durably
from finetune_trainer.workspace.folder_writer import WrittenFile

MANIFEST = "checkpoint.json"
_TEMPORARY = ".writing-"
ALONE = Ranks()
_log = logging.getLogger(__name__)


class CheckpointFile(ApiModel):
    """One file of a checkpoint."""

    size: int = Field(ge=0)
    """Bytes."""
    sha256: str
    rank: int = Field(default=0, ge=0)
    """Who wrote it, and verifies it before it is loaded."""


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


def publish(
    folder: Path, identity: str, step: int, metric: float | None, parts: Sequence[Mapping[str, WrittenFile]]
) -> CheckpointEntry:
    """Make a folder from `begin` durable under its final name.

    Each rank has written and synced its files, the manifest follows, then the folders, then the name: whatever
    interrupts this, there is either a whole checkpoint or a temporary folder that nobody loads.

    Args:
        folder: with all files in it.
        identity: fingerprint of the plan.
        step: optimizer step.
        metric: validation loss, if there is one.
        parts: by rank, what it wrote.

    Raises:
        OSError: disk full and the like; the temporary folder is left for the caller to remove.
    """
    files = {
        name: CheckpointFile(size=file.size, sha256=file.sha256, rank=rank)
        for rank, part in enumerate(parts)
        for name, file in part.items()
    }
    for name, file in files.items():
        if (folder / name).stat().st_size != file.size:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(folder / name))
    # NaN cannot be compared; it is nobody's best.
    kept_metric = metric if metric is not None and math.isfinite(metric) else None
    manifest = CheckpointManifest(
        identity=identity,
        step=step,
        metric=kept_metric,
        world_size=len(parts),
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


def verify(path: Path, identity: str, ranks: Ranks, world_size: int | None = None) -> CheckpointEntry | str:
    """The checkpoint in `path` if each byte is what was written; otherwise what is wrong with it; collective.

    Every rank hashes the files that a rank of its number wrote, so it takes as long as the largest share. Files that
    the manifest does not list are refused as well: they may be pickles that someone put there. So is what another
    number of ranks than `world_size` wrote, before a byte of it is read.
    """
    manifest = ranks.from_main(lambda: _plausible_manifest(path, identity, world_size))
    if isinstance(manifest, str):
        return manifest
    own = {name: file for name, file in manifest.files.items() if file.rank % ranks.size == ranks.rank}
    for problem in ranks.gather(_first_damage(path, own)):
        if problem is not None:
            return problem
    return _entry(path, manifest)


def _first_damage(path: Path, files: Mapping[str, CheckpointFile]) -> str | None:
    for name, file in files.items():
        if not looks_unchanged(path / name, file.size, file.sha256, cheap_bytes=file.size):
            return f"{name} is damaged (size or sha256 differ)"
    return None


def _plausible_manifest(path: Path, identity: str, world_size: int | None) -> CheckpointManifest | str:
    """The manifest, if the folder has the files that it lists and no others; else what is wrong."""
    manifest = _read_manifest(path)
    if isinstance(manifest, str):
        return manifest
    if world_size is not None and manifest.world_size != world_size:
        wrote = f"{manifest.world_size} rank{'' if manifest.world_size == 1 else 's'} wrote it"
        return (
            f"{wrote} and this gang has {world_size}: it is no start for another number. To go on from it, give "
            "spec.parallelism the nodes and processes that it had, before the next checkpoint replaces it"
        )
    if manifest.identity != identity:
        return "it belongs to another configuration or other data"
    present = {p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir() or p.is_symlink()}
    foreign = present - manifest.files.keys() - {MANIFEST}
    if foreign:
        return f"{min(foreign)} is not listed in its manifest"
    for name in manifest.files:
        if name not in present:
            return f"{name} is missing"
        if (path / name).is_symlink():
            return f"{name} is a link"
    return manifest


def newest_valid(root: Path, identity: str, ranks: Ranks = ALONE) -> CheckpointEntry | None:
    """The newest checkpoint of as many ranks that verifies; collective. The log says why others are passed over."""
    newest_first = ranks.from_main(lambda: sorted(root.glob("step-*"), reverse=True))
    return _first_valid(newest_first, identity, ranks, ranks.size)


def best_valid(root: Path, identity: str, ranks: Ranks = ALONE) -> CheckpointEntry | None:
    """The checkpoint with the lowest metric that verifies; the earlier one of equals; collective."""

    def paths() -> list[Path]:
        scored = [entry for entry in list_entries(root, identity) if entry.metric is not None]
        return [entry.path for entry in sorted(scored, key=_by_metric)]

    return _first_valid(ranks.from_main(paths), identity, ranks)


def _first_valid(
    paths: Iterable[Path], identity: str, ranks: Ranks, world_size: int | None = None
) -> CheckpointEntry | None:
    for path in paths:
        found = verify(path, identity, ranks, world_size)
        if isinstance(found, CheckpointEntry):
            return found
        if ranks.is_main:
            _log.warning("checkpoint %s is not used: %s", path.name, found)
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
