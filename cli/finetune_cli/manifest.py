"""Reading the manifest a person wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_cli.local_manifest import make_paths_absolute, missing_files
from finetune_cli.refusal import refuse
from finetune_operator.admission import ManifestProblem, place_problems, read_manifest


@dataclass(frozen=True, slots=True)
class LoadedManifest:
    """A manifest without problems."""

    written: Object
    """As in the file."""
    job: Object
    """With defaults filled in and paths made absolute."""


def problems_in(path: Path) -> list[ManifestProblem]:
    """Every problem of a manifest."""
    _, problems = read_manifest(_read(path), str(path))
    return problems


def load_manifest(path: Path, *, check_files: bool = False) -> LoadedManifest:
    """The job of a manifest; with `check_files`, files that it names must be there. Refuses with all problems."""
    content = _read(path)
    written, problems = read_manifest(content, str(path))
    if written is None or problems:
        refuse(problems)
    job = make_paths_absolute(FineTuneJob.from_json_object(written).to_json_object(), path.resolve().parent)
    missing = missing_files(job) if check_files else []
    if missing:
        refuse(place_problems(content, str(path), missing))
    return LoadedManifest(written, job)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        refuse([f"{path}: {error.strerror}"])
