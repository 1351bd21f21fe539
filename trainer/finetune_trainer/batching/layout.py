"""How a global batch is cut: first whole, then over ranks, then over micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.training import Batch as BatchSettings
from finetune_trainer.batching.interface import ArmExamples
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.objectives import Batch

MAX_AUTO_MICRO_BATCH = 16
"""Rows of one forward pass that Auto never exceeds."""


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
    micro_batch = _micro_batch(settings, rows // ranks.size, divisor)
    return Layout(rows, settings.tokens_per_row, micro_batch, settings.packing, ranks.rank, ranks.size, pad)


def _micro_batch(settings: BatchSettings, rows_of_rank: int, divisor: int) -> int:
    """Auto: the largest divisor of a rank's rows that is at most 16; then the largest one at most 1/divisor of it."""
    asked = MAX_AUTO_MICRO_BATCH if settings.micro_batch == "Auto" else settings.micro_batch
    if settings.micro_batch != "Auto" and rows_of_rank % asked:
        raise BadConfiguration(
            "BatchNotDivisible",
            f"batch.microBatch {asked} does not divide the {rows_of_rank} rows of a rank",
            "Use a divisor, or Auto.",
        )
    largest = largest_divisor(rows_of_rank, asked)
    return largest_divisor(rows_of_rank, max(1, largest // divisor))


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`."""
    return max(size for size in range(1, min(limit, number) + 1) if number % size == 0)
