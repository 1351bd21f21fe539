"""G: every engine gives the same losses, resumes to the bit, and leaves the weights alone when gradients are bad."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finetune_api.model import Parallelism, Zero
from finetune_api.training import Optimizer
from finetune_trainer.engine import Engine
from finetune_trainer.workspace.folder_writer import FolderWriter
from gpu.measure import Recorder, relative, the_device
from gpu.shapes import Scale, Texts, Workload, texts, trainable_model
from tiny import tiny_engine

RATE = 1e-3
LOSS_TOLERANCE = 2e-2
ENGINES = {
    "DDP": Parallelism(engine="DDP"),
    "ZeRO-0": Parallelism(zero=Zero(stage=0)),
    "ZeRO-1": Parallelism(zero=Zero(stage=1)),
    "ZeRO-2": Parallelism(zero=Zero(stage=2)),
    "ZeRO-3": Parallelism(zero=Zero(stage=3)),
    "ZeRO-2, offload": Parallelism(zero=Zero(stage=2, offload="CPU")),
    "ZeRO-3, offload": Parallelism(zero=Zero(stage=3, offload="CPU")),
}


@dataclass(frozen=True)
class Course:
    """The work of each engine."""

    batches: list[Texts]
    until_saved: int

    @classmethod
    def of(cls, scale: Scale) -> Course:
        """Batches of different texts."""
        steps, more = (20, 5) if scale == "full" else (3, 2)
        work = Workload("engines", "tiny", rows=4, length=64, mean=16)
        return cls(list(islice(texts(work), steps + more)), steps)

    def train(self, engine: Engine, start: int, end: int) -> list[float]:
        """Losses a token of the steps `start … end`."""
        return [train(engine, chosen) for chosen in self.batches[start:end]]


def run(record: Recorder, scale: Scale) -> None:
    """The first engine and precision is what the others are held to."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)  # bitwise equality needs it on a card
    # DeepSpeed's buffers have gigabytes.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    course = Course.of(scale)
    expected: list[float] = []
    for precision in ("FP32", "BF16"):
        for name, parallelism in ENGINES.items():
            chosen = parallelism.model_copy(update={"precision": precision})
            line = record.case(f"{name}, {precision}", life, chosen, course, expected)
            expected = expected or line.get("losses", [])
    record.case("no kernels are built", built_extensions)


def life(parallelism: Parallelism, course: Course, expected: list[float]) -> Mapping[str, Any]:
    """Train, save, train on; load into other weights and train on as well; then a step with bad gradients."""
    engine = new_engine(parallelism)
    losses = course.train(engine, 0, course.until_saved)
    with tempfile.TemporaryDirectory() as folder:
        engine.snapshot()(FolderWriter(Path(folder)))
        more = course.train(engine, course.until_saved, len(course.batches))
        resumed = new_engine(parallelism, other=True)
        resumed.load(Path(folder))
    again = course.train(resumed, course.until_saved, len(course.batches))
    weights = engine.full_state_dict()
    checks = {
        "losses fall": losses[-1] < losses[0],
        "losses are those of the first engine": not expected or relative_losses(losses, expected) <= LOSS_TOLERANCE,
        "the resumed run has the same losses": more == again,
        "the resumed run has the same weights": equal(weights, resumed.full_state_dict()),
        **poisoned(engine, course.batches[0], weights),
    }
    return {"losses": losses, "more_losses": more, "kept_in": kept_in(engine), "checks": checks}


def new_engine(parallelism: Parallelism, *, other: bool = False) -> Engine:
    """An engine around the same weights, or around other ones."""
    work = Workload("engines", "tiny", rows=4, length=64)
    model = trainable_model(work, the_device())
    if other:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.5)
    return tiny_engine(model, parallelism, Optimizer(learning_rate=RATE))


def train(engine: Engine, chosen: Texts) -> float:
    """One step; its loss a token."""
    loss = engine.accumulate([chosen.batch()], chosen.targets)
    info = engine.step(RATE)
    if not info.applied or not math.isfinite(info.gradient_norm):
        raise AssertionError(f"a step was not applied: {info}")
    return float(loss.loss_sum) / chosen.targets


def poisoned(engine: Engine, chosen: Texts, weights: dict[str, Tensor]) -> dict[str, bool]:
    """A finite loss whose gradients are not numbers; afterwards a healthy step."""

    def poison(_: nn.Module, __: Any, output: Tensor) -> None:
        output.register_hook(lambda gradient: gradient * math.nan)

    hook = engine.model.get_submodule("model.norm").register_forward_hook(poison)
    loss = engine.accumulate([chosen.batch()], chosen.targets)
    info = engine.step(RATE)
    hook.remove()
    untouched = equal(weights, engine.full_state_dict())
    train(engine, chosen)
    return {
        "the poisoned loss is finite": math.isfinite(float(loss.loss_sum)),
        "poisoned gradients are told": not info.applied and not math.isfinite(info.gradient_norm),
        "poisoned gradients change no weight": untouched,
        "the next step is applied": not equal(weights, engine.full_state_dict()),
    }


def equal(weights: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    """To the bit."""
    return weights.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in weights.items())


def relative_losses(losses: list[float], expected: list[float]) -> float:
    """The largest of the steps."""
    return max(relative(loss, other) for loss, other in zip(losses, expected, strict=True))


def kept_in(engine: Engine) -> dict[str, str]:
    """Types of numbers that decide about precision: weights, and the frequencies of the rotary embedding."""
    frequencies = {str(value.dtype) for name, value in engine.model.named_buffers() if name.endswith("inv_freq")}
    weights = {str(parameter.dtype) for parameter in engine.model.parameters()}
    return {"weights": ", ".join(sorted(weights)), "inv_freq": ", ".join(sorted(frequencies))}


def built_extensions() -> Mapping[str, Any]:
    """Files that torch or DeepSpeed compiled on the way."""
    folder = Path(os.environ["TORCH_EXTENSIONS_DIR"])
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {"built": files, "checks": {"nothing was compiled": not files}}
