"""For how long a checkpoint stops training: ours, the same state written at once, and torch's DCP `async_save`.

    OMP_NUM_THREADS=1 python tests/bench/checkpoint_stall.py [millions of parameters]

The state is that of an engine: float32 weights and the two moments of AdamW. Each way saves it several times, the last
one finished before the next begins; "first" pays for the pages of the buffers as well, "stall" is the median of the
others and "least" the least of them, which a busy machine disturbs least. "slowed" is how much longer a
piece of training (a matrix product, over and over) takes while the files are written.
"""

from __future__ import annotations

import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finetune_api.model import Parallelism, Zero
from finetune_api.training import Checkpoint, Optimizer
from finetune_trainer.checkpoint import Checkpointer
from finetune_trainer.context import StageContext
from finetune_trainer.engine import Engine, HostBuffers
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tiny import PAD, TinyTexts, tiny_engine, tiny_model, tiny_plan

SAVES = 6
WIDTH = 1024


@dataclass(frozen=True, slots=True)
class Way:
    """One way to save."""

    name: str
    save: Callable[[int], None]
    """Returns when training may go on."""
    is_writing: Callable[[], bool]
    finish: Callable[[], None]


def work(product: torch.Tensor) -> float:
    """Seconds of one piece of training."""
    began = time.monotonic()
    torch.mm(product, product)
    return time.monotonic() - began


def measure(way: Way, size: int) -> str:
    """Save several times; returns a line of the table."""
    product = torch.randn(768, 768)
    alone = statistics.median(work(product) for _ in range(40))
    stalls, totals, pieces = [], [], []
    for number in range(SAVES):
        began = time.monotonic()
        way.save(number)
        stalls.append(time.monotonic() - began)
        while way.is_writing():
            pieces.append(work(product))
        way.finish()
        totals.append(time.monotonic() - began)
    later, least, whole = statistics.median(stalls[1:]), min(stalls[1:]), statistics.median(totals[1:])
    slowed = f"{statistics.median(pieces) / alone:9.2f}" if pieces else "        -"
    return f"{way.name:34} {stalls[0]:9.3f} {later:9.3f} {least:9.3f} {whole:9.3f} {size / whole / 1e9:9.2f} {slowed}"


def trained_engine(parameters: int, parallelism: Parallelism) -> Engine:
    """An engine after one step, so that it has the moments of AdamW."""
    layers = max(1, round(parameters / (12.5 * WIDTH**2)))
    engine = tiny_engine(tiny_model(0, layers, WIDTH), parallelism, Optimizer(learning_rate=1e-3))
    rows = [[Example(TinyTexts(1, seed=number)[0], 1)] for number in range(4)]
    engine.accumulate([CausalLM().collate(rows, 64, PAD)], 64)
    engine.step(1e-3)
    return engine


def checkpointer_way(name: str, folder: Path, in_background: bool, engine: Engine) -> Way:
    """As the training loop saves."""
    policy = Checkpoint(keep_last=1, keep_best=0, async_=in_background)
    checkpointer = Checkpointer(folder, policy, StageContext.single(tiny_plan(folder)))
    buffers = HostBuffers() if in_background else None

    def is_writing() -> bool:
        checkpointer.due(1)  # as each step does
        return checkpointer.is_saving

    def save(step: int) -> None:
        checkpointer.save(step, lambda: engine.snapshot(buffers))

    return Way(name, save, is_writing, checkpointer.wait)


def torch_save_way(folder: Path, state: dict[str, Any]) -> Way:
    """torch.save and fsync: no hashes, no second file."""

    def save(_: int) -> None:
        with (folder / "state.pt").open("wb") as file:
            torch.save(state, file)
            os.fsync(file.fileno())

    return Way("torch.save and fsync", save, lambda: False, lambda: None)


def dcp_way(folder: Path, state: dict[str, Any]) -> Way:
    """torch.distributed.checkpoint.async_save with a stager that keeps its buffers."""
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
    from torch.distributed.checkpoint.state_dict_saver import async_save

    stager = DefaultStager(
        StagingOptions(
            use_pinned_memory=False, use_shared_memory=False, use_async_staging=False, use_non_blocking_copy=False
        )
    )
    running: list[Any] = []

    def save(_: int) -> None:
        target = folder / "dcp"
        shutil.rmtree(target, ignore_errors=True)
        writer = FileSystemWriter(target, sync_files=True, overwrite=True)
        running[:] = [async_save(state, storage_writer=writer, async_stager=stager, no_dist=True)]

    def finish() -> None:
        running[0].result()

    return Way("DCP async_save", save, lambda: not running[0].done(), finish)


def main(millions: float) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    parameters = int(millions * 1e6)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        root = Path(name)
        engine = trained_engine(parameters, Parallelism(engine="DDP"))
        model = engine.model
        weights = dict(model.named_parameters())
        moments = engine._optimizer.state_dict()  # type: ignore[attr-defined]
        state = {"weights": {key: value.detach() for key, value in weights.items()}, "optimizer": moments}
        size = 3 * sum(value.numel() * value.element_size() for value in weights.values())
        print(f"{sum(v.numel() for v in weights.values()) / 1e6:.1f} M parameters, {size / 1e9:.2f} GB of state")
        print(f"{'seconds':34} {'first':>9} {'stall':>9} {'least':>9} {'durable':>9} {'GB/s':>9} {'slowed':>9}")
        print(measure(torch_save_way(root, state), size))
        print(measure(checkpointer_way("ours, async: false", root / "sync", False, engine), size))
        print(measure(dcp_way(root, state), size))
        print(measure(checkpointer_way("ours", root / "async", True, engine), size))
        del state, moments, engine, model, weights
        shutil.rmtree(root / "async")
        engine = trained_engine(parameters, Parallelism(zero=Zero(stage=2)))
        print(measure(checkpointer_way("ours, ZeRO-2 of one rank", root / "zero", True, engine), size))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 64.0)
