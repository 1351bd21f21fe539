"""What a stage is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.plan import Plan
from finetune_trainer.observe.progress import ProgressReporter
from finetune_trainer.signals import StopFlag

if TYPE_CHECKING:
    import torch


@dataclass
class StageContext:
    """One rank of one stage. torch.distributed is initialised if `world_size` > 1."""

    plan: Plan
    workspace: Path
    rank: int
    local_rank: int
    world_size: int
    progress: ProgressReporter
    stop: StopFlag

    @property
    def is_main(self) -> bool:
        """Rank 0: the one that writes artifacts and speaks for the gang."""
        return self.rank == 0

    @cached_property
    def device(self) -> torch.device:
        """This rank's GPU, or the CPU. Imports torch, which stages that do not train can do without."""
        import torch

        if torch.cuda.is_available():
            return torch.device("cuda", self.local_rank)
        return torch.device("cpu")

    @classmethod
    def single(cls, plan: Plan, workspace: Path | None = None) -> StageContext:
        """A context of one rank that serves nothing: for tests and for use from Python."""
        return cls(
            plan=plan,
            workspace=workspace or Path(plan.workspace),
            rank=0,
            local_rank=0,
            world_size=1,
            progress=ProgressReporter(plan),
            stop=StopFlag(),
        )
