"""How a global batch is cut: first whole, then over ranks, then over micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.micro_batch import largest_micro_batch, rows_of_rank
from finetune_api.training import Batch as BatchSettings
from finetune_trainer.batching.interface import ArmExamples
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.objectives import Batch


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape of one optimizer step on one rank."""

    rows: int
    """Rows of the global batch."""
    row_length: int
    micro_batch: int
    """Rows of one forward pass."""
    packing: bool
    rank: int
    world_size: int
    pad: int

    @property
    def accumulation(self) -> int:
        """Forward passes of a rank in one step."""
        return self.rows // (self.world_size * self.micro_batch)

    def batches(self, arm: ArmExamples, rows: Sequence[Sequence[int]]) -> list[Batch]:
        """This rank's micro-batches of the global `rows` (sample indices); every rank gets the same number.

        Rows are dealt out in turn. Rows of one example are sorted by length first, so that no rank waits for another.
        """
        ordered = list(rows)
        lengths = arm.examples.lengths
        if not self.packing:
            ordered.sort(key=lambda row: -max((int(lengths[i]) for i in row), default=0))
        share = self.world_size * self.micro_batch
        ordered += [[]] * (-len(ordered) % share)
        mine = ordered[self.rank :: self.world_size]
        return [
            arm.objective.collate(
                [[arm.examples[i] for i in row] for row in mine[start : start + self.micro_batch]],
                self.row_length,
                self.pad,
            )
            for start in range(0, len(mine), self.micro_batch)
        ]


def make_layout(settings: BatchSettings, ranks: Ranks, divisor: int, pad: int) -> Layout:
    """The layout that `settings` ask for, with the micro-batch divided by `divisor` (recovery from out of memory).

    Raises:
        BadConfiguration: if the rows do not divide among ranks and micro-batches.
    """
    per_step = settings.tokens_per_row * ranks.size
    if settings.global_tokens % per_step:
        raise BadConfiguration(
            "BatchNotDivisible",
            f"batch.globalTokens {settings.global_tokens} is not a multiple of sequenceLength x ranks = "
            f"{settings.tokens_per_row} x {ranks.size}",
            f"Use {max(1, round(settings.global_tokens / per_step)) * per_step}.",
        )
    rows = settings.global_tokens // settings.tokens_per_row
    own = rows_of_rank(settings, ranks.size)
    if settings.micro_batch != "Auto" and own % settings.micro_batch:
        raise BadConfiguration(
            "BatchNotDivisible",
            f"batch.microBatch {settings.micro_batch} does not divide the {own} rows of a rank",
            "Use a divisor, or Auto.",
        )
    micro_batch = largest_micro_batch(settings, own, divisor)
    return Layout(rows, settings.tokens_per_row, micro_batch, settings.packing, ranks.rank, ranks.size, pad)
