"""K: one loss and one gradient on CPU and card, in float32 and BF16; which kernels attend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from families import examples, gradients, in_one_row, one_by_one, tiny
from finetune_trainer.models.segment_attention import FAMILIES, use_segment_attention
from gpu.measure import Recorder, finish, relative, the_device
from gpu.shapes import Scale, Workload, texts
from gpu.steps.training import train_step

TOLERANCES = {"fp32": 1e-5, "bf16": 2e-2}
GRADIENT_TOLERANCES = {"fp32": 1e-4, "bf16": 3e-1}
"""Of the norm of the difference: these weights are so large that BF16 alone moves it by up to 0.13, on a CPU too.
Segments that see each other move it by 0.8 and more, and the loss by as little as 0.001."""
_ATTENTION = re.compile(r"attention|attn|flash|fmha|cudnn", re.IGNORECASE)


def run(record: Recorder, scale: Scale) -> None:
    """Each family, then the kernels by length."""
    for family in sorted(FAMILIES):
        record.case(family, parity, family)
    for length in (1024, 2048, 4096, 8192) if scale == "full" else (64,):
        record.case(f"kernels at {length}", attention_kernels, length)


def parity(family: str) -> Mapping[str, Any]:
    """Segments of one row on the device against each example alone on the CPU in float32."""
    model, chosen = tiny(family), examples()
    expected = one_by_one(model, chosen)
    expected_gradients = gradients(model, expected)
    if not use_segment_attention(model):
        raise AssertionError(f"{family} does not attend within segments")
    device = the_device()
    nn.Module.to(model, device)
    figures: dict[str, Any] = {}
    checks: dict[str, bool] = {}
    for name, tolerance in TOLERANCES.items():
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bf16"):
            loss = in_one_row(model, chosen)
        figures[f"loss_{name}"] = relative(loss.detach(), expected.detach())
        figures[f"gradient_{name}"] = relative(gradients(model, loss), expected_gradients)
        checks[f"loss in {name}"] = figures[f"loss_{name}"] <= tolerance
        checks[f"gradient in {name}"] = figures[f"gradient_{name}"] <= GRADIENT_TOLERANCES[name]
    return {**figures, "checks": checks}


def attention_kernels(length: int) -> Mapping[str, Any]:
    """Names of what attends in a step over packed rows."""
    from gpu.shapes import trainable_model

    work = Workload("kernels", "tiny", rows=3, length=length, mean=length // 4, engine="none", bf16=True)
    chosen = next(islice(texts(work), 1))
    step = train_step(work, trainable_model(work, the_device()), chosen)
    step()
    activities = [ProfilerActivity.CUDA] if the_device().type == "cuda" else [ProfilerActivity.CPU]
    with profile(activities=activities) as profiler:
        step()
        finish()
    names = sorted({event.key[:80] for event in profiler.key_averages() if _ATTENTION.search(event.key)})
    return {"kernels": names, "checks": {"an attention kernel is seen": bool(names)}}
