"""C: how long training stands still for a checkpoint, and how long one takes to be found and loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from finetune_api.model import Parallelism
from finetune_api.training import Checkpoint, Optimizer
from finetune_trainer.checkpoint import CheckpointEntry, Checkpointer
from finetune_trainer.engine import Engine, HostBuffers
from finetune_trainer.run.snapshot import read_position, restore, take_snapshot
from finetune_trainer.run.state import RunState
from gpu.measure import GB, Recorder, elapsed, resident_gb, the_context, the_device
from gpu.shapes import Scale, Workload, texts, trainable_model
from gpu.steps.engines import equal, train
from tiny import tiny_engine


def run(record: Recorder, scale: Scale) -> None:
    """In the background with a large model, and at once with a small one."""
    for name, shape, in_background in (("async", "1b", True), ("at once", "135m", False)):
        work = Workload(name, shape, rows=1, length=256).at(scale)
        record.case(name, measure, work, in_background=in_background)


def measure(work: Workload, *, in_background: bool) -> Mapping[str, Any]:
    """Seconds of each part of the second save, and what the host held.

    The first save also pays for the pages of its copy.
    """
    engine = _engine(work)
    chosen, state = next(islice(texts(work), 1)), RunState(step=2)
    train(engine, chosen)  # the optimizer has its states from now on
    buffers = HostBuffers() if in_background else None
    with tempfile.TemporaryDirectory() as folder:
        policy = Checkpoint(async_=in_background, keep_last=1, keep_best=0)
        checkpointer = Checkpointer(Path(folder), policy, the_context())

        def save(step: int) -> None:
            checkpointer.save(step, lambda: take_snapshot(engine, state, {}, 0, buffers))

        first_stall = elapsed(lambda: save(1))
        checkpointer.wait()
        stall = elapsed(lambda: save(2))
        writing = elapsed(checkpointer.wait)
        expected = engine.full_state_dict()
        train(engine, chosen)
        entries: list[CheckpointEntry] = []
        verify = elapsed(lambda: entries.extend(filter(None, [checkpointer.latest()])))
        (entry,) = entries
        load = elapsed(lambda: restore(entry.path, engine, 0))
        found, gigabytes = read_position(entry.path)[0], entry.size / GB
    return {
        "shape": work.shape,
        "checkpoint_gb": round(gigabytes, 4),
        "first_stall_seconds": round(first_stall, 3),
        "stall_seconds": round(stall, 3),
        "durable_seconds": round(stall + writing, 3),
        "verify_seconds": round(verify, 3),
        "load_seconds": round(load, 3),
        "written_gb_per_second": round(gigabytes / (stall + writing), 3),
        "host_peak_gb": resident_gb(),
        "checks": {
            "the state comes back": found == state,
            "the weights come back": equal(engine.full_state_dict(), expected),
        },
    }


def _engine(work: Workload) -> Engine:
    model = trainable_model(work, the_device())
    return tiny_engine(model, Parallelism(engine="DDP"), Optimizer(learning_rate=1e-5))
