"""The stages of a job, in one table: the operator plans by it, the trainer runs by it, the command line shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from finetune_api.registry_rows import Entry

Stage = Literal["prepare", "pretrain", "fuse", "adapt", "align", "evaluate", "export"]
Product = Literal["data", "model", "report", "files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDescription(Entry):
    """One stage; it runs if the spec has its block. `implementation` is its recipe in `finetune_trainer.stages`."""

    parts: tuple[str, ...]
    """Paths in the spec that determine its result, beside the stages before it."""
    produces: Product
    """What its artifact is; stages after it ask for the newest of a kind."""
    artifact: str
    """Path of the artifact within the job's folder; `{digest}` is the beginning of the plan's fingerprint."""
    distributed: bool = True
    """Whether a gang runs it; else one process."""
    unit: str = "step"
    """What its progress counts."""
    result: str = ""
    """What reports call the model that comes out: the adapted model."""


PIPELINE: Mapping[Stage, StageDescription] = {
    "prepare": StageDescription(
        implementation=".prepare:run",
        # Not the rest of the model, so that sizes can be tried on the same data.
        parts=("data", "model.tokenizer", "model.from"),
        produces="data",
        artifact="data/{digest}",
        distributed=False,
        unit="row",
    ),
    # The parallel layout belongs to a training stage: checkpoints of another world size cannot be resumed.
    "pretrain": StageDescription(
        implementation=".pretrain:run",
        parts=("model", "pretrain", "parallelism"),
        produces="model",
        artifact="models/pretrain",
        result="pretrained",
    ),
    "fuse": StageDescription(
        parts=("model", "fuse", "parallelism"), produces="model", artifact="models/fuse", result="fused"
    ),
    "adapt": StageDescription(
        implementation=".adapt:run",
        parts=("model", "adapt", "parallelism"),
        produces="model",
        artifact="models/adapt",
        result="adapted",
    ),
    "align": StageDescription(
        parts=("model", "align", "parallelism"), produces="model", artifact="models/align", result="aligned"
    ),
    "evaluate": StageDescription(
        implementation=".evaluate:run", parts=("evaluate",), produces="report", artifact="reports", unit="segment"
    ),
    "export": StageDescription(parts=("export",), produces="files", artifact="export", distributed=False),
}
"""All stages, in the order in which they run."""

STAGES: tuple[Stage, ...] = tuple(PIPELINE)


def reusable_stages() -> tuple[Stage, ...]:
    """Stages whose artifact a variant may take from its parent: data and models. Each job is scored by itself."""
    return tuple(name for name, stage in PIPELINE.items() if stage.produces in ("data", "model"))


def model_stages() -> tuple[Stage, ...]:
    """Stages whose artifact is a model, in order: the last one that ran has the newest."""
    return tuple(name for name, stage in PIPELINE.items() if stage.produces == "model")
