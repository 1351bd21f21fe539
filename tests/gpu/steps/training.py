"""S, B, M, L, F: speed and memory of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from finetune_api.model import Parallelism, Zero
from finetune_api.training import Optimizer
from finetune_trainer.engine.loss_module import LossModule
from finetune_trainer.objectives import Batch
from finetune_trainer.objectives.causal_lm import CausalLM
from gpu.measure import Recorder, elapsed, peak_memory, the_device, throughput, timed_steps
from gpu.shapes import Scale, Texts, Workload, texts, trainable_model
from tiny import tiny_engine

RATE = 1e-5
SMALL = Workload("DDP", "135m", rows=32, length=1024, mean=120, profiled=True)
BILLION = Workload("DDP", "1b", rows=4, length=2048)
LORA = Workload("DDP, base BF16", "7b", rows=4, length=2048, lora=16, bf16=True)
SHARE = Workload("2 rows", "7b", rows=2, length=2048, engine="none", bf16=True)
THREE_BILLION = Workload("ZeRO-2", "3b", rows=4, length=2048, engine="ZeRO-2", bf16=True, checkpointing=True)


def small(record: Recorder, scale: Scale) -> None:
    """A model whose kernels are short: launches and host syncs show."""
    _run(record, scale, SMALL, replace(SMALL, name="DDP, compiled", compiled=True), _zero(SMALL))


def billion(record: Recorder, scale: Scale) -> None:
    """All weights and optimizer states on one card."""
    long = replace(BILLION, name="DDP, one row of 8,192", rows=1, length=8192, mean=0)
    _run(record, scale, BILLION, replace(BILLION, name="DDP, compiled", compiled=True), _zero(BILLION), long)


def three_billion(record: Recorder, scale: Scale) -> None:
    """What fits only with activation checkpointing."""
    _run(record, scale, THREE_BILLION, replace(THREE_BILLION, name="ZeRO-2, compiled", compiled=True))


def lora(record: Recorder, scale: Scale) -> None:
    """The base in BF16, then as the engines take any other model: in float32 with autocast over it."""
    _run(
        record,
        scale,
        LORA,
        replace(LORA, name="DDP, base BF16, compiled", compiled=True),
        replace(_zero(LORA), name="ZeRO-2, base BF16"),
        replace(LORA, name="DDP, base FP32", rows=2, bf16=False, steps=2),
    )


def share(record: Recorder, scale: Scale) -> None:
    """The ceiling of ZeRO-2 on several cards: forward and backward, nothing to wait for."""
    _run(
        record,
        scale,
        SHARE,
        replace(SHARE, name="2 rows, compiled", compiled=True),
        replace(SHARE, name="6 rows, checkpointing", rows=6, checkpointing=True),
    )


def _zero(work: Workload) -> Workload:
    return replace(work, name="ZeRO-2", engine="ZeRO-2", profiled=False)


def _run(record: Recorder, scale: Scale, *workloads: Workload) -> None:
    for work in workloads:
        record.case(work.name, measure, work.at(scale))


def measure(work: Workload) -> dict[str, Any]:
    """Figures of training on one batch, over and over."""
    model = trainable_model(work, the_device())
    chosen = next(islice(texts(work), 1))
    step = train_step(work, model, chosen)
    losses: list[float] = []
    figures: dict[str, Any] = timed_steps(lambda: losses.append(step()), work.steps)
    figures |= throughput(model, chosen, figures["step_seconds"]) | peak_memory()
    if work.profiled:
        figures |= profile_step(step)
    finite = all(torch.isfinite(torch.tensor(losses)).tolist())
    described = {"shape": work.shape, "rows": work.rows, "length": work.length}
    return described | figures | {"loss": [losses[0], losses[-1]], "checks": {"losses are finite": finite}}


def train_step(work: Workload, model: torch.nn.Module, chosen: Texts) -> Callable[[], float]:
    """One optimizer step, which returns its loss a token; without an engine, forward and backward."""
    batch, targets = chosen.batch(), chosen.targets
    if work.engine == "none":
        return lambda: _forward_and_backward(model, batch, targets)
    parallelism = Parallelism(engine="DDP") if work.engine == "DDP" else Parallelism(zero=Zero(stage=2))
    engine = tiny_engine(model, parallelism, Optimizer(learning_rate=RATE))

    def step() -> float:
        loss = engine.accumulate([batch], targets)
        info = engine.step(RATE)
        if not info.applied:
            raise AssertionError(f"a step was not applied: {info}")
        return float(loss.loss_sum) / targets

    return step


def _forward_and_backward(model: torch.nn.Module, batch: Batch, targets: int) -> float:
    module = LossModule(model.train(), {CausalLM.name: CausalLM().loss})
    loss, _ = module(batch.objective, **batch.to(the_device()).inputs)
    torch.autograd.backward(loss / targets)
    model.zero_grad(set_to_none=True)
    return float(loss.detach()) / targets


def profile_step(step: Callable[[], float]) -> dict[str, Any]:
    """Share of a step's time in which the card computes, and its longest kernels (ms); nothing on a CPU."""
    from torch.profiler import ProfilerActivity, profile

    if the_device().type != "cuda":
        return {}
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        wall = elapsed(step)
    kernels = [event for event in profiler.key_averages() if event.device_type.name == "CUDA"]
    kernels.sort(key=lambda event: -event.self_device_time_total)
    busy = sum(event.self_device_time_total for event in kernels) / 1e6
    longest = {event.key[:60]: round(event.self_device_time_total / 1e3, 2) for event in kernels[:10]}
    return {"gpu_busy": round(busy / wall, 3), "longest_kernels_ms": longest}
