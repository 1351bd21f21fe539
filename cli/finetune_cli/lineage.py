"""The runs of one lineage, and what each changed of its parent's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api.differences import Difference, differences
from finetune_api.job import FineTuneJob
from finetune_api.layout import MANIFEST, VARIANTS_FOLDER
from finetune_api.plan import ArtifactManifest
from finetune_cli.comparing import REPORT
from finetune_cli.workspace import name_of_run, read_job, root_of

_ELSEWHERE = ("lineage", "workspace")
"""Blocks of a spec that tell where a run stands, not what it is."""


@dataclass(frozen=True, slots=True)
class Iteration:
    """One run of a lineage."""

    job: FineTuneJob
    folder: Path
    parent: FineTuneJob | None
    """None of the first, and of one whose parent is gone."""

    @property
    def name(self) -> str:
        """Of the job."""
        return self.job.metadata.name

    @property
    def has_report(self) -> bool:
        """Whether it was evaluated."""
        return (self.folder / REPORT).is_file()


def read_lineage(folder: Path) -> list[Iteration]:
    """All runs that descend from the oldest ancestor of the run in `folder`: each parent before its variants."""
    asked, workspace = read_job(folder), root_of(folder)
    folders = [workspace, *sorted((workspace / VARIANTS_FOLDER).glob("*"))]
    jobs = {job.metadata.name: (job, place) for place in folders if name_of_run(place) for job in [read_job(place)]}
    first, climbed = asked, {asked.metadata.name}
    while first.parent in jobs and first.parent not in climbed:
        first = jobs[first.parent][0]
        climbed.add(first.metadata.name)
    return list(_descend(first.metadata.name, None, jobs, set()))


def _descend(
    name: str, parent: FineTuneJob | None, jobs: Mapping[str, tuple[FineTuneJob, Path]], seen: set[str]
) -> Iterator[Iteration]:
    """A run and its variants, the oldest first."""
    seen.add(name)
    job, folder = jobs[name]
    yield Iteration(job, folder, parent)
    variants = [other for other, _ in jobs.values() if other.parent == name]
    for variant in sorted(variants, key=lambda v: (str(v.metadata.creation_timestamp or ""), v.metadata.name)):
        if variant.metadata.name not in seen:
            yield from _descend(variant.metadata.name, job, jobs, seen)


def spec_changes(job: FineTuneJob, parent: FineTuneJob) -> list[Difference]:
    """What a variant's spec says otherwise; elements of lists are told by their names, where they have one."""
    ours, theirs = (
        {key: value for key, value in each.spec.to_json_object().items() if key not in _ELSEWHERE}
        for each in (job, parent)
    )
    return [
        Difference(found.path.removeprefix("spec."), found.ours, found.theirs)
        for difference in differences(ours, theirs, "spec")
        for found in _by_name(difference)
    ]


def _by_name(difference: Difference) -> Iterator[Difference]:
    """The elements of two lists of unequal lengths, instead of the lists."""
    ours, theirs = _named(difference.ours), _named(difference.theirs)
    if ours is None or theirs is None:
        yield difference
        return
    for name in dict.fromkeys([*theirs, *ours]):
        yield from differences(ours.get(name), theirs.get(name), f"{difference.path}[{name}]")


def _named(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, list) or not all(isinstance(element, dict) and "name" in element for element in value):
        return None
    return {element["name"]: element for element in value}


def source_digests(iteration: Iteration) -> dict[str, str]:
    """sha256 of each file that prepare read, by its name; empty if prepare has not ended, or its files are gone."""
    status = iteration.job.status
    artifact = next((stage.artifact for stage in status.stages if stage.name == "prepare"), None) if status else None
    if artifact is None:
        return {}
    path = root_of(iteration.folder) / artifact / MANIFEST
    try:
        inputs = ArtifactManifest.model_validate_json(path.read_text(encoding="utf-8")).inputs
    except (OSError, UnicodeDecodeError, ValidationError):
        return {}
    names = [Path(name).name for name in inputs]
    return {
        short if names.count(short) == 1 else name: digest
        for (name, digest), short in zip(inputs.items(), names, strict=True)
    }
