"""DDP's reduction of gradients, such that a rank without gradients can take part in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

_FLOAT32_BYTES = 4


class GradientBuckets:
    """Counts the buckets that a backward pass has reduced, so that the rest can be reduced without it.

    DDP reduces all trained weights, which are float32, in buckets of the same order on every rank; a rank that breaks
    off would leave the others waiting for the rest of them.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        self._model = model
        self._reduced = 0
        model.register_comm_hook(None, lambda _, bucket: self._reduce(bucket.buffer()))

    def begin(self) -> None:
        """A step begins."""
        self._reduced = 0

    def _reduce(self, gradients: Tensor) -> Future[Tensor]:
        """As DDP does without a hook: the mean over ranks."""
        self._reduced += 1
        mean = gradients.div_(distributed.get_world_size())
        work: Any = distributed.all_reduce(mean, async_op=True)
        future: Future[Tensor] = work.get_future().then(_first)
        return future

    def complete(self, device: torch.device) -> None:
        """Reduce zeros in place of the buckets that this step has not come to."""
        for size in self._sizes()[self._reduced :]:
            distributed.all_reduce(torch.zeros(size, device=device))

    def _sizes(self) -> list[int]:
        """Weights of each bucket; DDP lays them out anew after its first backward pass."""
        facts: dict[str, Any] = self._model._get_ddp_logging_data()  # noqa: SLF001 - no other way to know them
        sizes = facts["rebuilt_bucket_sizes" if facts.get("has_rebuilt_buckets") else "bucket_sizes"]
        return [int(size) // _FLOAT32_BYTES for size in str(sizes).split(",")]


def _first(future: Future[list[Tensor]]) -> Tensor:
    return future.value()[0]
