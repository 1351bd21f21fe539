"""Artifacts: folders that are either whole, with a manifest, or not there."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api.layout import MANIFEST
from finetune_api.plan import ArtifactManifest, Plan
from finetune_trainer.workspace.files import looks_unchanged, sha256_file, sync_file, sync_folder, write_durably
from finetune_trainer.workspace.versions import library_versions


@contextmanager
def write_artifact(
    workspace: Path,
    relative: str,
    plan: Plan,
    inputs: dict[str, str] | None = None,
    *,
    merge: bool = False,
) -> Iterator[Path]:
    """Give a temporary folder; when the block ends well, it becomes the artifact `relative` of the workspace.

    An older artifact of that name is replaced in one rename. With `merge`, the files are moved one by one into a
    folder that others use too (reports/); the manifest, moved last, lists only them. If the block raises, nothing
    remains. Call it on rank 0 only.

    Args:
        workspace: the job's folder.
        relative: path within the workspace.
        plan: gives the fingerprint.
        inputs: digest by input.
        merge: see above.

    Raises:
        OSError: disk full, no permission.
    """
    target = workspace / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        # mkdtemp makes it private; other pods of the job may run as another user.
        folder.chmod(0o755)
        yield folder
        manifest = _describe(folder, plan, inputs or {})
        write_durably(folder / MANIFEST, _to_json(manifest))
        if merge:
            _merge(folder, target)
        else:
            _replace(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _describe(folder: Path, plan: Plan, inputs: dict[str, str]) -> ArtifactManifest:
    files, sizes = {}, {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sync_file(path)
        name = path.relative_to(folder).as_posix()
        files[name], sizes[name] = sha256_file(path), path.stat().st_size
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        sync_folder(path)
    return ArtifactManifest(
        stage=plan.stage,
        fingerprint=plan.fingerprint,
        inputs=inputs,
        files=files,
        sizes=sizes,
        digest=_digest(files),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=library_versions(),
    )


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256("".join(f"{name}\0{value}\n" for name, value in sorted(files.items())).encode()).hexdigest()


def _to_json(manifest: ArtifactManifest) -> str:
    return manifest.model_dump_json(by_alias=True, indent=1) + "\n"


def _replace(folder: Path, target: Path) -> None:
    """Put `folder` where `target` is. A directory cannot be renamed onto another that is not empty."""
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent)) / "old"
        target.rename(old)
        folder.rename(target)
        shutil.rmtree(old.parent, ignore_errors=True)
    else:
        folder.rename(target)
    sync_folder(target.parent)


def _merge(folder: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    (target / MANIFEST).unlink(missing_ok=True)
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p != folder / MANIFEST]
    for path in [*files, folder / MANIFEST]:
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    sync_folder(target)


def read_manifest(folder: Path) -> ArtifactManifest | None:
    """The manifest of an artifact folder; None if there is none or it is not one."""
    try:
        return ArtifactManifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None


def stage_digests(plan: Plan, workspace: Path) -> dict[str, str]:
    """Digest of each earlier stage's artifact that `plan` builds on."""
    manifests = {stage: read_manifest(workspace / path) for stage, path in plan.inputs.items()}
    return {stage: manifest.digest for stage, manifest in manifests.items() if manifest is not None}


def run_identity(plan: Plan, inputs: Mapping[str, str]) -> str:
    """Digest of the plan and of what it reads, by the digest of each: a checkpoint of another run is not resumed."""
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(inputs.items()))
    return hashlib.sha256(f"{plan.fingerprint}\n{lines}".encode()).hexdigest()


def find_artifact(workspace: Path, relative: str, fingerprint: str) -> ArtifactManifest | None:
    """The manifest of a finished artifact with this fingerprint, if its files are all there and look unchanged.

    Sizes of all files are compared, and the digests of those small enough to be read at once.
    """
    manifest = read_manifest(workspace / relative)
    if manifest is None or manifest.fingerprint != fingerprint or manifest.digest != _digest(manifest.files):
        return None
    folder = workspace / relative
    whole = all(looks_unchanged(folder / name, manifest.sizes.get(name), d) for name, d in manifest.files.items())
    return manifest if whole else None


def record_result(workspace: Path, relative: str, result: dict[str, Any]) -> None:
    """Put the stage's result into its artifact's manifest, so that a finished stage can be reported again."""
    manifest = read_manifest(workspace / relative)
    if manifest is not None:
        write_durably(workspace / relative / MANIFEST, _to_json(manifest.model_copy(update={"result": result})))
