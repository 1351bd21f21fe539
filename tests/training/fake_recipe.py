"""A stage that only exercises the harness.

What the stage does on which rank is in the environment variable FAKE, as JSON: {"<rank>": "<behaviour>"}; `*` is any.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from finetune_trainer.checkpoint import Checkpointer, store
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.distributed import process_group, use_steady_timeout
from finetune_trainer.engine import Write
from finetune_trainer.errors import BadData, Preempted
from finetune_trainer.workspace.artifacts import write_artifact
from finetune_trainer.workspace.folder_writer import FolderWriter

STEPS = 20
MISBEHAVE_AT = 5
LATE_SECONDS = 2.0
IMPORTED_BY = os.getpid()


def run(context: StageContext) -> StageOutcome:
    """Sum ones over all ranks, STEPS times; a checkpoint holds the total."""
    behaviours = json.loads(os.environ.get("FAKE", "{}"))
    behaviour = behaviours.get(str(context.ranks.rank), behaviours.get("*", ""))
    root = context.workspace / "checkpoints" / context.plan.stage
    checkpointer = Checkpointer(root, context.plan.spec.checkpoint, context)
    latest = checkpointer.latest()
    total = torch.load(latest.path / "total.pt", weights_only=True) if latest else torch.zeros(())
    first = latest.step + 1 if latest else 1
    if behaviour == "publish":
        fail_to_publish()
    if "STEADY" in os.environ:
        process_group.STEADY_TIMEOUT = timedelta(seconds=float(os.environ["STEADY"]))
    if behaviour == "late":
        time.sleep(LATE_SECONDS)  # as one that loads a large model; the others wait for it with the files
    context.ranks.barrier()

    for step in range(first, STEPS + 1):
        if step == MISBEHAVE_AT:
            misbehave(behaviour)
        share = torch.tensor([1.0, float(context.stop.requested)])
        if context.ranks.size > 1:
            dist.all_reduce(share)
        total += share[0]
        use_steady_timeout()
        context.progress.update(phase="Training", step=step, total_steps=STEPS, loss=float(total))
        context.progress.add_time("productive", 0.01)
        stop = bool(share[1] > 0)
        if stop or checkpointer.due(step):
            checkpointer.save(step, partial(snapshot, context, total, behaviour))
        if stop or behaviour == "kill-write":
            checkpointer.wait()
        if stop:
            raise Preempted(step)
        if behaviour == "linger":
            time.sleep(0.05)
    checkpointer.wait()
    if context.ranks.is_main:
        with write_artifact(context.workspace, "models/pretrain", context.plan) as folder:
            (folder / "total.txt").write_text(str(float(total)), encoding="utf-8")
            (folder / "forked.txt").write_text(str(os.getpid() != IMPORTED_BY), encoding="utf-8")
    return StageOutcome(
        artifact="models/pretrain",
        summary={"total": float(total), "first": float(first)},
        message=f"total {float(total)}",
    )


def snapshot(context: StageContext, total: Tensor, behaviour: str) -> Write:
    """Rank 0 has the total; a rank may fail while it writes."""
    taken = total.clone()

    def write(files: FolderWriter) -> None:
        if behaviour == "write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "engine.pt")
        if behaviour == "kill-write" and context.ranks.rank == 1 and float(taken) > STEPS:
            with files.open("half.pt") as file:
                file.write(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        if context.ranks.is_main:
            with files.open("total.pt") as file:
                torch.save(taken, file)

    return write


def fail_to_publish() -> None:
    """Let the disk be full where a checkpoint becomes durable, on this rank."""

    def publish(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint.json")

    store.publish = publish  # type: ignore[assignment]


def misbehave(behaviour: str) -> None:
    """Fail in the way that is asked for."""
    match behaviour:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "bad-data":
            raise BadData("MalformedRow", "rows.tsv:7: 3 columns, not 2", "Correct the row.")
        case "bug":
            raise ZeroDivisionError("division by nought")
        case "memory":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        case "disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.safetensors")
        case "silent":
            time.sleep(3)  # the others' limit is shorter
        case "watchdog":
            os.write(2, b"[rank1]:[E] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)\n")
            os.abort()
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
