"""How many rows go through the model at once, and what of their activations is kept: what fits a rank's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from finetune_api.devices import GIB
from finetune_api.memory import Memory, TrainingShape, training_memory
from finetune_api.training import Batch, KeptActivations

MAX_AUTO_MICRO_BATCH = 16
"""Rows of one forward pass that Auto never exceeds."""
USABLE = 0.92
"""Share of a device's memory that is planned with: the rest goes to its runtime, and to holes between tensors."""
_ENOUGH_TOKENS = 4096
"""Of a micro-batch: more of them fill a device no better, so that nothing is computed again for more."""
_MODES: tuple[KeptActivations, ...] = ("None", "Selective", "Full")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a stage trains with."""

    micro_batch: int
    kept: KeptActivations
    memory: Memory | None
    """By the memory model; None where it does not know the model."""
    fits: bool
    """False: not even this fits."""
    training: TrainingShape | None = None
    """What it was chosen for."""


def rows_of_rank(batch: Batch, ranks: int) -> int:
    """Rows of a rank in one step; at least one, for what does not divide is refused elsewhere."""
    return max(1, batch.global_tokens // (batch.tokens_per_row * ranks))


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`."""
    return max(size for size in range(1, min(limit, number) + 1) if number % size == 0)


def largest_micro_batch(batch: Batch, rows: int, divisor: int = 1, limit: int | None = None) -> int:
    """Rows of one forward pass that may be tried: as asked, Auto the largest divisor of a rank's rows up to 16.

    Args:
        batch: as the spec has it.
        rows: of a rank in one step.
        divisor: no more than so much of it, after a process that ran out of memory.
        limit: rows that fitted before.
    """
    asked = MAX_AUTO_MICRO_BATCH if batch.micro_batch == "Auto" else batch.micro_batch
    largest = largest_divisor(rows, min(asked, limit or asked))
    return largest_divisor(rows, max(1, largest // divisor))


def choose(batch: Batch, rows: int, largest: int, training: TrainingShape | None, room: int | None) -> Choice:
    """The largest micro-batch that fits, with as little as possible computed again.

    Auto computes again only where less than 4,096 tokens would fit without.

    Args:
        batch: what is Auto in it is chosen; what is given stays, whether it fits or not.
        rows: of a rank in one step.
        largest: micro-batch to begin with, of `largest_micro_batch`.
        training: None where the sizes of the model are not known: then everything is taken to fit.
        room: bytes that a rank may use; None: no limit.
    """
    given = batch.activation_checkpointing
    modes = _MODES if given == "Auto" else (given,)
    if training is None:
        return Choice(largest, modes[0], None, fits=True)
    sizes = [largest]
    if batch.micro_batch == "Auto":
        sizes = [size for size in range(largest, 0, -1) if rows % size == 0]
    found: Choice | None = None
    for mode in modes:
        fitting = _largest_fitting(batch, sizes, training, mode, room)
        if fitting is None:
            continue
        if found is None or fitting.micro_batch > found.micro_batch:
            found = fitting
        if found.micro_batch == largest or found.micro_batch * batch.tokens_per_row >= _ENOUGH_TOKENS:
            break
    if found is not None:
        return found
    memory = training_memory(training, sizes[-1], batch.tokens_per_row, modes[-1])
    return Choice(sizes[-1], modes[-1], memory, fits=False, training=training)


def _largest_fitting(
    batch: Batch, sizes: Sequence[int], training: TrainingShape, mode: KeptActivations, room: int | None
) -> Choice | None:
    """The first of `sizes` that fits into `room`."""
    for size in sizes:
        memory = training_memory(training, size, batch.tokens_per_row, mode)
        if room is None or memory.total <= room:
            return Choice(size, mode, memory, fits=True, training=training)
    return None


def what_would_fit(batch: Batch, training: TrainingShape | None, room: int | None) -> str:
    """What to change where a micro-batch of one row does not fit into `room` bytes, as far as it is known to help."""
    if training is None or room is None:
        return (
            "Use batch.activationCheckpointing Full, a shorter batch.sequenceLength, zero.stage 3, zero.offload CPU, "
            "or more ranks."
        )
    helps = [f"{what} ({total / GIB:.1f} GiB)" for what, total in _remedies(batch, training) if total <= room]
    if helps:
        return "By the memory model these fit: " + "; ".join(helps) + "."
    return "Nothing that the memory model knows fits: use a smaller model, LoRA, or devices with more memory."


def _remedies(batch: Batch, training: TrainingShape) -> Sequence[tuple[str, int]]:
    """What may be changed, and the bytes that it would take with one row at a time."""
    length, given, here = batch.tokens_per_row, batch.activation_checkpointing, training.parallelism
    kept: KeptActivations = "Full" if given == "Auto" else given
    shorter = max(8, length // 2)

    def under(stage: int, offload: str, more: int = 1) -> TrainingShape:
        zero = here.zero.model_copy(update={"stage": stage, "offload": offload})
        changes = {"engine": "DeepSpeed", "zero": zero, "nodes": here.nodes * more}
        return replace(training, parallelism=here.model_copy(update=changes))

    found = (
        ("batch.activationCheckpointing Full", training, length, "Full"),
        (f"batch.sequenceLength {shorter}", training, shorter, kept),
        (f"batch.sequenceLength {shorter} with activationCheckpointing Full", training, shorter, "Full"),
        ("zero.offload CPU with activationCheckpointing Full", under(2, "CPU"), length, "Full"),
        ("zero.stage 3 and offload CPU with activationCheckpointing Full", under(3, "CPU"), length, "Full"),
        (f"zero.stage 3 on {training.ranks * 2} ranks with activationCheckpointing Full", under(3, "None", 2), length,
         "Full"),
        (f"zero.stage 3 on {training.ranks * 8} ranks with activationCheckpointing Full", under(3, "None", 8), length,
         "Full"),
    )  # fmt: skip
    return [(what, training_memory(shape, 1, row, mode).total) for what, shape, row, mode in found]  # type: ignore[arg-type]
