"""Saving and finding checkpoints as one gang: every rank makes the same calls."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from finetune_api.training import Checkpoint
from finetune_trainer.checkpoint import store
from finetune_trainer.checkpoint.store import CheckpointEntry
from finetune_trainer.context import StageContext

SPACE_MARGIN = 1.05
"""Free space asked for, relative to the newest checkpoint's size."""
_log = logging.getLogger(__name__)


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
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def due(self, step: int, overdue: bool | None = None) -> bool:
        """Whether the policy asks for a checkpoint after `step` (>= 1); the same answer on every rank.

        Clocks differ, so the ranks have to agree on `overdue`: a loop that reduces flags anyway passes the reduced
        one of `self.overdue`; without it this is a small collective.
        """
        if step % self._policy.every_steps == 0:
            return True
        return self._ranks.any(self.overdue) if overdue is None else overdue

    @property
    def overdue(self) -> bool:
        """Whether, by this rank's clock, the last checkpoint is older than `everySeconds`."""
        return time.monotonic() - self._last_save >= self._policy.every_seconds

    def latest(self) -> CheckpointEntry | None:
        """The newest checkpoint that is whole and belongs to this plan; collective."""
        self.wait()
        return self._ranks.from_main(lambda: store.newest_valid(self._root, self._identity))

    def best(self) -> CheckpointEntry | None:
        """The whole checkpoint with the lowest metric; collective."""
        self.wait()
        return self._ranks.from_main(lambda: store.best_valid(self._root, self._identity))

    def save(
        self, step: int, write: Callable[[Path], None], metric: float | None = None, *, required: bool = False
    ) -> bool:
        """Write the checkpoint of `step`; collective.

        `write` is called on every rank with the same temporary folder and returns when its files are closed. Hashing,
        syncing, renaming and retention then happen on rank 0, in the background if the policy is async.

        Returns:
            False if the disk has no room for another checkpoint: the older ones stay and training may go on.

        Raises:
            OSError: on every rank, if any rank could not write, or if there is no room and it is `required` (as
                before an exit that promises a checkpoint). Nothing remains of the attempt.
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
        error: Exception | None = None
        try:
            write(folder)
        except Exception as caught:  # noqa: BLE001 - shared with all ranks below, then raised
            error = caught
        problem = self._ranks.first_problem(error)
        if problem is not None:
            if self._ranks.is_main:
                shutil.rmtree(folder, ignore_errors=True)
            raise error or problem
        if self._ranks.is_main:
            self._finish(folder, step, metric, start)
        if not self._policy.async_:
            self._raise_problem()
        self._context.progress.add_time("checkpoint", time.monotonic() - start)
        return True

    def _begin(self, step: int) -> Path | None:
        """A temporary folder, if there seems to be room for what the newest checkpoint needed."""
        entries = store.list_entries(self._root, self._identity)
        if entries:
            needed = int(entries[-1].size * SPACE_MARGIN)
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

    def _finish(self, folder: Path, step: int, metric: float | None, start: float) -> None:
        written = time.monotonic()

        def publish(stall: float | None = None) -> None:
            try:
                entry = store.publish(folder, self._identity, step, metric, self._ranks.size)
                store.prune(self._root, self._identity, self._policy.keep_last, self._policy.keep_best)
            except Exception as caught:  # noqa: BLE001 - raised by wait(), on all ranks
                self._error = caught
                shutil.rmtree(folder, ignore_errors=True)
                return
            done = time.monotonic()
            stood_still = done - start if stall is None else stall
            self._context.progress.checkpointed(step, stood_still, done - written, entry.size)

        if self._policy.async_:
            self._thread = threading.Thread(target=publish, args=(written - start,), name="checkpoint-writer")
            self._thread.start()
        else:
            publish()

    def wait(self) -> None:
        """Wait until the checkpoint that is being written in the background is durable; collective.

        Raises:
            OSError: on every rank, if rank 0 could not make it durable. Otherwise the others would wait for rank 0 in
                their next collective until they lost it.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._raise_problem()

    def _raise_problem(self) -> None:
        error, self._error = self._error, None
        problem = self._ranks.first_problem(error)
        if problem is not None:
            raise error or problem

    def clear(self) -> None:
        """Remove all checkpoints of the stage, once its artifact is there."""
        self.wait()
        if self._ranks.is_main and self._root.exists():
            shutil.rmtree(self._root)
