"""The stages of the pipeline: one recipe a file, registered here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_api.common import Stage
from finetune_api.plan import Plan
from finetune_api.report import EvaluationSummary
from finetune_trainer.context import StageContext
from finetune_trainer.errors import BadConfiguration


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a finished stage has to say; the harness makes the StageResult of it. Rank 0's counts."""

    artifact: str | None
    """Path within the workspace of what `write_artifact` wrote."""
    summary: dict[str, float] = field(default_factory=dict)
    """Keys as in StageResult.summary."""
    message: str = ""
    """One line for the terminal."""
    evaluation: EvaluationSummary | None = None
    productive_seconds: float = 0.0
    """Time in steps whose result survives."""


StageFunction = Callable[[StageContext], StageOutcome]


@dataclass(frozen=True, slots=True)
class StageEntry:
    """Where a stage's recipe is and what it needs."""

    function: str
    """`module:function`; imported only when it runs."""
    artifact: str
    """Path of its artifact within the workspace; `{digest}` stands for 16 hex digits of the plan's fingerprint."""
    distributed: bool = True
    """Whether it runs on all ranks of a gang, in one process group."""

    inputs: str = "finetune_trainer.artifacts:stage_digests"
    """`module:function` that gives the digests of what the stage reads, as they go into its artifact's manifest."""

    def load(self) -> StageFunction:
        """Import the recipe."""
        function: StageFunction = _import(self.function)
        return function

    def input_digests(self, plan: Plan, workspace: Path) -> dict[str, str]:
        """Digest by input, as of now: a finished artifact made from others is not adopted."""
        digests: dict[str, str] = _import(self.inputs)(plan, workspace)
        return digests

    def artifact_path(self, plan: Plan) -> str:
        """Path of the artifact of `plan` within its workspace."""
        return self.artifact.format(digest=plan.fingerprint[:16])


def _import(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


Registry = Mapping[Stage, StageEntry]

REGISTRY: Registry = {
    "prepare": StageEntry(
        "finetune_trainer.stages.prepare:run",
        "data/{digest}",
        distributed=False,
        inputs="finetune_trainer.data.provenance:source_digests",
    ),
    "pretrain": StageEntry("finetune_trainer.stages.pretrain:run", "models/pretrain"),
    "adapt": StageEntry("finetune_trainer.stages.adapt:run", "models/adapt"),
    "evaluate": StageEntry("finetune_trainer.stages.evaluate:run", "reports"),
}


def find_stage(name: Stage, registry: Registry = REGISTRY) -> StageEntry:
    """The entry of a stage.

    Raises:
        BadConfiguration: if the stage is not there yet.
    """
    entry = registry.get(name)
    if entry is None:
        raise BadConfiguration(
            "NotSupported",
            f"stage {name} is not supported by this trainer yet",
            f"Remove spec.{name} from the job. Stages there are: {', '.join(registry)}.",
        )
    return entry
