"""What a stage is given, and what it gives back."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.evaluation_summary import EvaluationSummary
from finetune_api.plan import Plan
from finetune_trainer.devices import rank_device
from finetune_trainer.distributed import Ranks
from finetune_trainer.observe.progress import ProgressReporter

if TYPE_CHECKING:
    import torch


class StopFlag:
    """Whether this process was asked to stop. The training loop agrees on it over all ranks."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def requested(self) -> bool:
        """Asked to stop."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask to stop at the next good moment."""
        self._event.set()


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a finished stage returns; the pod makes the StageResult of it. Rank 0's counts."""

    artifact: str | None
    """Path within the workspace of what `write_artifact` wrote."""
    summary: dict[str, float] = field(default_factory=dict)
    """Keys as in StageResult.summary."""
    message: str = ""
    """One line for the terminal."""
    evaluation: EvaluationSummary | None = None
    productive_seconds: float = 0.0
    """Time in steps whose result survives."""


@dataclass
class StageContext:
    """One rank of one stage. torch.distributed is initialised if there are several."""

    plan: Plan
    workspace: Path
    ranks: Ranks
    progress: ProgressReporter
    stop: StopFlag

    @cached_property
    def device(self) -> torch.device:
        """This rank's GPU, or the CPU. Imports torch, which stages that do not train can do without."""
        return rank_device(self.ranks.local_rank, self.plan.processes_per_node)

    @classmethod
    def single(cls, plan: Plan, workspace: Path | None = None) -> StageContext:
        """A context of one rank that serves nothing: for tests and for use from Python."""
        return cls(plan, workspace or Path(plan.workspace), Ranks(), ProgressReporter(plan), StopFlag())
