"""A forward and backward pass of the largest micro-batch before the first step, to see that there is memory for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from finetune_api.memory import Memory, training_memory
from finetune_trainer.batching import ArmExamples
from finetune_trainer.batching.layout import Layout
from finetune_trainer.context import StageContext
from finetune_trainer.models import is_partitioned, wants_bf16
from finetune_trainer.objectives import Batch
from finetune_trainer.run.micro_batch import smaller_micro_batch
from finetune_trainer.run.settings import TrainSettings

_log = logging.getLogger(__name__)


def try_micro_batch(
    context: StageContext, model: nn.Module, arms: Mapping[str, ArmExamples], layout: Layout, settings: TrainSettings
) -> int:
    """The micro-batch of `layout`, or what is left of it by halving while memory runs out. Every rank calls it.

    Only GPUs are tried: a CPU's memory does not run out with an error. The engine does not exist yet, so that no rank
    waits for one whose memory ran out; what it will take is held free meanwhile. Partitioned weights compute nothing
    without their engine, and are not tried.

    Raises:
        OutOfMemory: if one row at a time does not fit.
    """
    if context.device.type != "cuda" or is_partitioned(model):
        return layout.micro_batch
    model.to(context.device)

    def attempt(size: int) -> None:
        pass_once(context, model, arms, replace(layout, micro_batch=size), settings)

    return largest_that_fits(context, attempt, layout.micro_batch, settings)


def largest_that_fits(
    context: StageContext, attempt: Callable[[int], None], largest: int, settings: TrainSettings
) -> int:
    """The first of `largest` and its halves with which `attempt` has memory on every rank.

    Raises:
        OutOfMemory: if one row has not.
    """
    size = largest
    while context.ranks.any(not _has_memory(attempt, size)):
        smaller = smaller_micro_batch(context, settings.batch, settings.training, size)
        if context.ranks.is_main:
            _log.warning("out of memory in a trial of micro-batches of %d rows: trying %d", size, smaller)
        size = smaller
    if size < largest:
        context.progress.update(micro_batch=size)
    return size


def _has_memory(attempt: Callable[[int], None], size: int) -> bool:
    try:
        attempt(size)
    except torch.OutOfMemoryError:
        return False
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return True


def pass_once(
    context: StageContext, model: nn.Module, arms: Mapping[str, ArmExamples], layout: Layout, settings: TrainSettings
) -> None:
    """Forward and backward pass of each arm's longest micro-batch; leaves no gradient, and random numbers as they were.

    Raises:
        torch.OutOfMemoryError: if there is no memory for one.
    """
    with _engine_memory(context, settings, layout.micro_batch):
        for arm in arms.values():
            _pass(context, model, arm, longest_batch(arm, layout))


def longest_batch(arm: ArmExamples, layout: Layout) -> Batch:
    """A micro-batch as full as one can be: the arm's longest example, as often as it has room."""
    lengths = arm.examples.lengths
    longest = int(lengths.argmax())
    often = max(1, layout.row_length // max(1, int(lengths[longest]))) if layout.packing else 1
    row = [arm.examples[longest]] * often
    return arm.objective.collate([row] * layout.micro_batch, layout.row_length, layout.pad)


@contextmanager
def _engine_memory(context: StageContext, settings: TrainSettings, size: int) -> Iterator[None]:
    """Hold the bytes that the engine will take beside weights and gradients, as far as they are known."""
    held = None
    if settings.training is not None:
        held = torch.empty(
            _beside(training_memory(settings.training, size, settings.batch.tokens_per_row)),
            dtype=torch.uint8,
            device=context.device,
        )
    yield
    del held


def _beside(memory: Memory) -> int:
    return memory.optimizer + memory.buffers


def _pass(context: StageContext, model: nn.Module, arm: ArmExamples, batch: Batch) -> None:
    is_wide = any(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    bf16 = wants_bf16(context.plan.spec.parallelism.precision, context.device)
    model.train()
    try:
        with (
            torch.random.fork_rng(devices=[context.device] if context.device.type == "cuda" else []),
            torch.autocast(context.device.type, torch.bfloat16, enabled=bf16 and is_wide),
        ):
            loss = arm.objective.loss(model, **batch.to(context.device).inputs)
            (loss.loss_sum / loss.loss_units.clamp(min=1)).backward()
    finally:
        model.zero_grad(set_to_none=True)
