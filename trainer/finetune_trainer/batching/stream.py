"""One arm's stream of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.batching.layout import Layout
from finetune_trainer.batching.order import EpochOrder
from finetune_trainer.batching.packing import pack
from finetune_trainer.objectives import ExampleSet

_SLACK_ROWS = 0.25
"""Tokens beyond a full batch that packing may choose from, in share of a batch."""
_MIN_SLACK_ROWS = 2


class ArmStream:
    """Draws global batches of rows from a set of examples; every epoch uses each example once.

    Examples that found no room wait in `pending` and are placed first in the next batch, so that none waits long. The
    state is the sample counter and the pending indices: resume takes up exactly what was not yet used.
    """

    def __init__(self, examples: ExampleSet[Any], seed: int, name: str) -> None:
        self.examples = examples
        self._order = EpochOrder(seed, name, len(examples))
        self._counter = 0
        self._pending: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def draw(self, layout: Layout) -> list[list[int]]:
        """Sample indices by row of the next global batch."""
        if not layout.packing:
            return [[int(sample)] for sample in self._take(layout.rows)]
        capacity = layout.rows * layout.row_length
        wanted = capacity + int(max(_SLACK_ROWS * layout.rows, _MIN_SLACK_ROWS) * layout.row_length)
        pool = np.concatenate((self._by_length(self._pending), self._by_length(self._fresh(wanted))))
        packed, left_over = pack(self.examples.lengths[pool], layout.rows, layout.row_length)
        self._pending = pool[left_over]
        return [[int(pool[position]) for position in row] for row in packed]

    def _fresh(self, wanted: int) -> NDArray[np.int64]:
        """New samples until they and the pending ones have `wanted` tokens."""
        lengths = self.examples.lengths
        missing = wanted - int(lengths[self._pending].sum())
        parts = []
        while missing > 0:
            mean = max(1.0, float(lengths[:1024].mean()))
            samples = self._order[self._counter : self._counter + max(1, int(missing / mean))]
            enough = int(np.searchsorted(np.cumsum(lengths[samples]), missing)) + 1
            samples = samples[:enough]
            self._counter += len(samples)
            missing -= int(lengths[samples].sum())
            parts.append(samples)
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _take(self, number: int) -> NDArray[np.int64]:
        samples = self._order[self._counter : self._counter + number]
        self._counter += number
        return samples

    def _by_length(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        return samples[np.argsort(-self.examples.lengths[samples], kind="stable")]

    def state_dict(self) -> dict[str, Any]:
        """JSON-able position in the stream."""
        return {"counter": self._counter, "pending": self._pending.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._counter = int(state["counter"])
        self._pending = np.array(state["pending"], dtype=np.int64)
