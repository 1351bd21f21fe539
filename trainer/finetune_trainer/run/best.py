"""The weights of the best validation: in memory at once, on the disk with the next checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from finetune_trainer.checkpoint import Checkpointer
from finetune_trainer.engine import Engine, HostBuffers
from finetune_trainer.run.snapshot import read_weights, write_weights
from finetune_trainer.run.state import RunState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Best:
    """The best weights."""

    step: int
    """After which they were the engine's."""
    read: Callable[[], dict[str, Tensor]]
    """On rank 0: trainable weights in full shape."""


class BestWeights:
    """Keeps the trainable weights of the best validation so far; every rank makes the same calls.

    A copy in rank 0's memory costs a moment, a file as long as a checkpoint. So the file is written with the next
    checkpoint, before it: whatever a resumed run starts from, the best weights until then are there. Those of step 0
    are never written: a run that starts again has them.
    """

    def __init__(self, engine: Engine, checkpointer: Checkpointer) -> None:
        self._engine = engine
        self._checkpointer = checkpointer
        self._buffers = HostBuffers()
        self._weights: dict[str, Tensor] = {}
        self._step: int | None = None

    def keep(self, step: int, loss: float) -> None:
        """The engine's weights now, after `step`, have the lowest validation loss so far; collective."""
        if self._checkpointer.is_saving:
            self._buffers = HostBuffers()  # the thread may be writing those there are
        self._weights = self._engine.full_state_dict(trainable_only=True, buffers=self._buffers)
        self._step = step
        if step > 0:
            self._checkpointer.keep_best(step, loss, partial(write_weights, weights=self._weights))

    def find(self, state: RunState) -> Best | None:
        """The best weights of a run that ends at `state`; None if they are the engine's; collective."""
        if state.best_step is None or state.best_step == state.step:
            return None
        if self._step is not None:
            return Best(self._step, lambda: self._weights)
        entry = self._checkpointer.best()
        if entry is None:
            _log.warning(
                "the weights of step %d, which were the best, are lost: the last ones are kept", state.best_step
            )
            return None
        return Best(entry.step, partial(read_weights, entry.path))
