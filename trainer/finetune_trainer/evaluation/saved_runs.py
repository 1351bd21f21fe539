"""Runs that have ended, as their workspaces keep them: report, segments, and what the model cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api.report import EvaluationReport, TaskReport
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.provenance import stage_cost
from finetune_trainer.metrics import Alternatives, parted
from finetune_trainer.workspace.artifacts import read_manifest

_COLUMNS = ("source", "reference", "hypothesis")


@dataclass(frozen=True, slots=True)
class SavedRun:
    """One run with a report."""

    name: str
    report: EvaluationReport
    workspace: Path
    """Where paths of the report begin."""


@dataclass(frozen=True, slots=True)
class Segments:
    """What a model was asked and answered; columns of equal length."""

    references: list[Alternatives]
    outputs: list[str]
    digest: str
    """sha256 over sources and references."""


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """Of all stages that trained a model, its parents' too."""

    tokens: float
    seconds: float
    device_seconds: float | None
    """Seconds times devices; None if a stage did not record how many it had."""
    reused_tokens: float


def read_run(name: str, report: Path, workspace: Path) -> SavedRun:
    """The run whose `report.json` this is.

    Raises:
        BadConfiguration: it cannot be read, or another version wrote it.
    """
    try:
        found = EvaluationReport.model_validate_json(report.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BadConfiguration(
            "UnreadableReport",
            f"{name}: {report} is no report that this version can read: {what}",
            "Make it again: finetune run with the run's manifest.",
        ) from None
    return SavedRun(name, found, workspace)


def read_segments(run: SavedRun, task: TaskReport) -> Segments | None:
    """The segments of a test, from the TSV beside the report; None if it is gone, or not as the report says."""
    try:
        # Not splitlines: a segment may hold the line separators of Unicode.
        header, *rows = (run.workspace / task.hypotheses).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    table = [row.split("\t") for row in rows]
    names = header.split("\t")
    if tuple(names[:3]) != _COLUMNS or len(table) != task.segments or any(len(row) != len(names) for row in table):
        return None
    asked = "".join(f"{row[0]}\t{row[1]}\n" for row in table)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    return Segments([parted(row[1], task.type) for row in table], [row[2] for row in table], digest)


def training_cost(run: SavedRun) -> TrainingCost | None:
    """What it took to train the run's model; None if it was not trained, or a stage's figures are gone."""
    costs = {stage: _cost_of(run, stage, entry) for stage, entry in run.report.lineage.items() if stage != "prepare"}
    if not costs or any("tokens" not in cost or "seconds" not in cost for cost in costs.values()):
        return None
    reused = [costs[stage]["tokens"] for stage in costs if "reusedFrom" in run.report.lineage[stage]]
    known = all("deviceSeconds" in cost for cost in costs.values())
    return TrainingCost(
        sum(cost["tokens"] for cost in costs.values()),
        sum(cost["seconds"] for cost in costs.values()),
        sum(cost["deviceSeconds"] for cost in costs.values()) if known else None,
        sum(reused),
    )


def _cost_of(run: SavedRun, stage: str, entry: Mapping[str, Any]) -> Mapping[str, float]:
    """From the artifact while it is the one that was scored, else from the report, which has the run's own stages."""
    manifest = read_manifest(run.workspace / str(entry.get("artifact")))
    if manifest is not None and manifest.digest == entry.get("digest"):
        return stage_cost(manifest)
    prefix = f"{stage}."
    return {name.removeprefix(prefix): value for name, value in run.report.cost.items() if name.startswith(prefix)}
