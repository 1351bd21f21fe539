"""Reading the manifests a person wrote."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.problems import Problem
from finetune_cli.local_contents import problems_of_local_contents
from finetune_cli.local_manifest import (
    make_paths_absolute,
    missing_files,
    missing_local_files,
    without_parents,
)
from finetune_cli.refusal import refuse
from finetune_operator.admission import Check, ManifestProblem, problems_in_file, read_manifest

STDIN = Path("-")
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class LoadedManifest:
    """A manifest without problems."""

    written: Object
    """As in the file."""
    job: Object
    """With defaults filled in and paths made absolute."""


def lint(path: Path) -> Iterator[tuple[str, list[ManifestProblem]]]:
    """Name and problems of each manifest of ours: in a file, below a folder, or on standard input (`-`)."""
    if path == STDIN:
        yield _lint_file("standard input", sys.stdin.buffer.read(), Path.cwd())
    elif not path.is_dir():
        yield _lint_file(str(path), _read(path), path.resolve().parent)
    else:
        yield from _lint_folder(path)


def _lint_file(name: str, content: bytes, folder: Path) -> tuple[str, list[ManifestProblem]]:
    number, problems = problems_in_file(content, name, *_local_view(folder))
    if not number and not problems:
        kinds = "no FineTuneJob, FineTuneRuntime or ClusterFineTuneRuntime in it"
        problems = [ManifestProblem(f"{name}:1", Problem("", kinds))]
    return name, problems


def _lint_folder(folder: Path) -> Iterator[tuple[str, list[ManifestProblem]]]:
    """Files with nothing of ours in them are passed over."""
    found = False
    for path in sorted(path for suffix in SUFFIXES for path in folder.rglob(f"*{suffix}") if path.is_file()):
        number, problems = problems_in_file(_read(path), str(path), *_local_view(path.parent))
        if number:
            found = True
            yield str(path), problems
    if not found:
        refuse([f"{folder}: no manifest of ours below it; they end in {' or '.join(SUFFIXES)}"])


def _local_view(
    folder: Path, missing: Callable[[Object, Path], list[Problem]] | None = missing_local_files
) -> tuple[Check, Callable[[Object], Object]]:
    """What this machine adds to the rules of a cluster: files, models, and paths through a parent folder.

    `folder` is that of the manifest.
    """

    def check(job: Object) -> list[Problem]:
        return (missing(job, folder) if missing else []) + problems_of_local_contents(job, folder)

    return check, partial(without_parents, manifest_folder=folder)


def load_manifest(path: Path, *, check_files: bool = False) -> LoadedManifest:
    """The job of a manifest; with `check_files`, files that it names must be there. Refuses with all problems."""
    folder = path.resolve().parent
    written, problems = read_manifest(
        _read(path), str(path), *_local_view(folder, missing_files if check_files else None)
    )
    if written is None or problems:
        refuse(problems)
    return LoadedManifest(written, make_paths_absolute(FineTuneJob.from_json_object(written).to_json_object(), folder))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        refuse([f"{path}: {error.strerror}"])
