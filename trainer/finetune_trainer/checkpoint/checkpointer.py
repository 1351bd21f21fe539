"""Saving and finding checkpoints as one gang: every rank makes the same calls.

A save has three parts. Training stands still for the first alone, in which each rank takes a snapshot. A thread of each
rank then writes its own. When all ranks know that all have, which they see in a reduction that a step makes anyway, a
thread of rank 0 gives the folder its name. Threads make no collectives, and whatever fails in one of them is raised on
every rank at the same place.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from finetune_api.training import Checkpoint
from finetune_trainer.checkpoint import store
from finetune_trainer.checkpoint.store import CheckpointEntry
from finetune_trainer.context import StageContext
from finetune_trainer.workspace.folder_writer import FolderWriter, WrittenFile

SPACE_MARGIN = 1.05
"""Free space asked for, relative to what was last written."""
BEST = "best"
"""Folder of the best weights, beside the checkpoints."""
_log = logging.getLogger(__name__)

Write = Callable[[FolderWriter], None]
"""Writes one rank's files of a snapshot."""


class SaveFlags(NamedTuple):
    """What ranks have to agree on; of one rank, or their sum over all."""

    overdue: float
    """By its clock, the last checkpoint is older than `everySeconds`."""
    busy: float
    """Its thread has not ended."""


@dataclass
class _Save:
    """A checkpoint on its way."""

    step: int
    metric: float | None
    folder: Path
    started: float
    work: Future[dict[str, WrittenFile]]
    """What this rank's thread does."""
    is_named: bool = False
    """All ranks have written; rank 0 gives it its name."""
    stall: float = 0.0
    """Seconds that training stood still."""


@dataclass
class _Best:
    """The best weights so far."""

    step: int
    metric: float
    write: Write
    is_durable: bool = False


class Checkpointer:
    """Checkpoints of one stage in one folder that all ranks share."""

    def __init__(
        self,
        root: Path,
        policy: Checkpoint,
        context: StageContext,
        identity: str | None = None,
        free_bytes: store.FreeBytes = store.free_bytes,
    ) -> None:
        """`root` is workspace/checkpoints/<stage>; `identity` is the plan's fingerprint unless given."""
        self._root = root
        self._policy = policy
        self._context = context
        self._identity = identity or context.plan.fingerprint
        self._free_bytes = free_bytes
        self._ranks = context.ranks
        self._last_save = time.monotonic()
        self._threads = ThreadPoolExecutor(1, "checkpoint-writer")
        self._save: _Save | None = None
        self._best: _Best | None = None
        self._said_slow = False

    @property
    def in_background(self) -> bool:
        """Whether `save` returns before the snapshot is written, so that it has to be a copy."""
        return self._policy.async_

    @property
    def is_saving(self) -> bool:
        """Whether a thread may be writing; the same answer on every rank."""
        return self._save is not None

    @property
    def overdue(self) -> bool:
        """Whether, by this rank's clock, the last checkpoint is older than `everySeconds`."""
        return time.monotonic() - self._last_save >= self._policy.every_seconds

    @property
    def flags(self) -> SaveFlags:
        """Of this rank, to be summed over all ranks for `due`."""
        busy = self._save is not None and not self._save.work.done()
        return SaveFlags(float(self.overdue), float(busy))

    def due(self, step: int, flags: SaveFlags | None = None) -> bool:
        """Whether a checkpoint is to be saved after `step` (>= 1); the same answer on every rank.

        Also the place where a save in the background goes on, and where its failure is learnt. While one is on its way
        no other is due: a volume that is slower than the policy stretches it.

        Args:
            step: number of the step.
            flags: sum of `self.flags` over all ranks, which a loop puts into a reduction that it makes anyway; without
                it this is a small collective.

        Raises:
            OSError: on every rank, if the save in the background failed on any.
        """
        agreed = flags or SaveFlags(*(sum(values) for values in zip(*self._ranks.gather(self.flags), strict=True)))
        by_step = step % self._policy.every_steps == 0
        wanted = by_step or (agreed.overdue > 0 and self._save is None)
        if self._save is not None and not agreed.busy:
            if wanted:
                self.wait()  # all is written; a name is given in a moment
            else:
                self._go_on()
        if self._save is None:
            return wanted
        if by_step or agreed.overdue:
            self._say_slow(step)
        return False

    def latest(self) -> CheckpointEntry | None:
        """The newest checkpoint that is whole and belongs to this plan; collective."""
        self.wait()
        self._context.progress.update(phase="Verifying")
        return store.newest_valid(self._root, self._identity, self._ranks)

    def best(self) -> CheckpointEntry | None:
        """The whole folder of weights with the lowest metric; collective."""
        self.wait()
        self._context.progress.update(phase="Verifying")
        return store.best_valid(self._root / BEST, self._identity, self._ranks)

    def keep_best(self, step: int, metric: float, write: Write) -> None:
        """With the next checkpoint, and before it, let rank 0 write the weights of `step`; they replace earlier ones.

        `write` is called on a thread: what it writes stays as it is until the save after the next call has ended.
        """
        self._best = _Best(step, metric, write)

    def save(
        self, step: int, take: Callable[[], Write], metric: float | None = None, *, required: bool = False
    ) -> bool:
        """Save the checkpoint of `step`; collective. A save that is still on its way is waited for.

        Args:
            step: number of the step.
            take: takes a snapshot on every rank (it may be collective) and returns what writes this rank's files of
                it, which is called on a thread if the policy is async. All ranks write into the same folder.
            metric: retention keeps the lowest.
            required: not to save is an error, as before an exit that promises a checkpoint.

        Returns:
            False if the disk has no room for another checkpoint: the older ones stay and training may go on.

        Raises:
            OSError: on every rank, if any rank could not save, or if there is no room and it is `required`. Nothing
                remains of the attempt. Of a save in the background it is raised by `due` and `wait`.
        """
        start = time.monotonic()
        self.wait()
        self._last_save = start
        folder = self._ranks.from_main(lambda: self._begin(step))
        if folder is None:
            if required:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._root))
            return False
        self._context.progress.mark_saved()
        work: Future[dict[str, WrittenFile]] = Future()
        try:
            work = self._threads.submit(self._write, folder, take(), self._best)
        except Exception as caught:  # noqa: BLE001 - shared with all ranks by `_go_on`
            work.set_exception(caught)
        self._save = _Save(step, metric, folder, start, work)
        if not self._policy.async_:
            self.wait()
        elif self._ranks.any(work.done() and work.exception() is not None):
            self._go_on()
        stall = time.monotonic() - start
        if self._save is not None:
            self._save.stall = stall
        self._context.progress.add_time("checkpoint", stall)
        return True

    def wait(self) -> None:
        """Wait until the checkpoint that is on its way is durable; collective.

        Raises:
            OSError: on every rank, if any rank could not write its files or rank 0 could not make them durable.
        """
        if self._save is not None:
            self._context.progress.update(phase="Checkpointing")
        while self._save is not None:
            self._go_on()

    def clear(self) -> None:
        """Remove all checkpoints of the stage, once its artifact is there."""
        self.wait()
        if self._ranks.is_main and self._root.exists():
            shutil.rmtree(self._root)

    def _begin(self, step: int) -> Path | None:
        """A temporary folder, if there seems to be room for what was last needed."""
        entries = store.list_entries(self._root, self._identity)
        if entries:
            needed = int((entries[-1].size + self._best_size()) * SPACE_MARGIN)
            if self._free_bytes(self._root) < needed:
                # Make room now instead of after the save; the newest always stays.
                store.prune(self._root, self._identity, 1, min(1, self._policy.keep_best))
            free = self._free_bytes(self._root)
            if free < needed:
                _log.warning(
                    "checkpoint of step %d is left out: it needs %d MB and %s has %d MB free",
                    step, needed // 10**6, self._root, free // 10**6,
                )  # fmt: skip
                self._context.progress.update(message="disk nearly full: no new checkpoints")
                return None
        return store.begin(self._root, step)

    def _best_size(self) -> int:
        """Bytes of the best weights, as far as that is known, if they are about to be written."""
        if self._best is None or self._best.is_durable:
            return 0
        return max((entry.size for entry in store.list_entries(self._root / BEST, self._identity)), default=0)

    def _write(self, folder: Path, write: Write, best: _Best | None) -> dict[str, WrittenFile]:
        """On a thread: write this rank's files, on rank 0 the best weights before them."""
        if self._ranks.is_main and best is not None and not best.is_durable:
            self._write_best(best)
            best.is_durable = True
        return _write_files(folder, write)

    def _write_best(self, best: _Best) -> None:
        root = self._root / BEST
        folder = store.begin(root, best.step)
        try:
            store.publish(folder, self._identity, best.step, best.metric, [_write_files(folder, best.write)])
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        store.prune(root, self._identity, 1, self._policy.keep_best)

    def _go_on(self) -> None:
        """Wait for the threads and take the next part of the save; collective."""
        save = self._save
        if save is None:
            return
        error = save.work.exception()
        problem = self._ranks.first_problem(error if isinstance(error, Exception) else None)
        if error is not None or problem is not None:
            self._save = None
            if self._ranks.is_main:
                shutil.rmtree(save.folder, ignore_errors=True)
            raise error or problem or RuntimeError
        if save.is_named:
            self._save = None
            if self.overdue:
                # Time between checkpoints, too, not only for checkpoints.
                self._last_save = time.monotonic()
            return
        parts = self._ranks.gather(save.work.result())
        save.is_named = True
        save.work = self._threads.submit(self._publish, save, parts) if self._ranks.is_main else _nothing()

    def _publish(self, save: _Save, parts: Sequence[dict[str, WrittenFile]]) -> dict[str, WrittenFile]:
        """On rank 0: give the folder its name, and apply retention."""
        entry = store.publish(save.folder, self._identity, save.step, save.metric, parts)
        store.prune(self._root, self._identity, self._policy.keep_last, self._policy.keep_best)
        seconds = time.monotonic() - save.started
        stall = save.stall if self._policy.async_ else seconds
        self._context.progress.checkpointed(save.step, stall, seconds - stall, entry.size)
        return {}

    def _say_slow(self, step: int) -> None:
        if self._said_slow or not self._ranks.is_main:
            return
        self._said_slow = True
        _log.warning(
            "no checkpoint at step %d: the one before is still being written; this volume is too slow for a checkpoint "
            "every %d steps or %d s, so there will be fewer (this is said once)",
            step, self._policy.every_steps, self._policy.every_seconds,
        )  # fmt: skip


def _write_files(folder: Path, write: Write) -> dict[str, WrittenFile]:
    files = FolderWriter(folder)
    write(files)
    return files.files


def _nothing() -> Future[dict[str, WrittenFile]]:
    done: Future[dict[str, WrittenFile]] = Future()
    done.set_result({})
    return done
