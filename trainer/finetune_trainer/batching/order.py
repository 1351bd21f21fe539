"""The order of samples: a pure function of (seed, stream, sample counter), in constant memory."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.hashing import mix

_ROUNDS = 4


class EpochOrder:
    """An endless stream over `range(size)`: every epoch is a permutation of its own.

    The permutation is a keyed Feistel network over the next power of four, walked until the value falls into the range
    (Black and Rogaway 2002, cycle walking; at most 4 rounds of it on average), so that any position is found without
    its predecessors and nothing is held in memory.
    """

    def __init__(self, seed: int, stream: str, size: int) -> None:
        if size < 1:
            raise ValueError("an order needs at least one sample")
        self.size = size
        self._name = f"{seed}/{stream}".encode()
        self._half_bits = max(1, -(-(size - 1).bit_length() // 2))

    def __getitem__(self, positions: slice) -> NDArray[np.int64]:
        """Samples at `positions.start … positions.stop` of the stream."""
        counters = np.arange(positions.start, positions.stop, dtype=np.int64)
        result = np.empty(len(counters), dtype=np.int64)
        for epoch in range(positions.start // self.size, -(-positions.stop // self.size)):
            inside = counters // self.size == epoch
            result[inside] = self._permute(counters[inside] % self.size, epoch)
        return result

    def _permute(self, values: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        keys = self._keys(epoch)
        result = self._feistel(values.astype(np.uint64), keys)
        while (outside := result >= self.size).any():
            result[outside] = self._feistel(result[outside], keys)
        return result.astype(np.int64)

    def _keys(self, epoch: int) -> NDArray[np.uint64]:
        digest = hashlib.blake2b(self._name + b"/%d" % epoch, digest_size=8 * _ROUNDS).digest()
        return np.frombuffer(digest, dtype=np.uint64)

    def _feistel(self, values: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        bits = np.uint64(self._half_bits)
        mask = np.uint64((1 << self._half_bits) - 1)
        left, right = values >> bits, values & mask
        for key in keys:
            left, right = right, left ^ (mix(right ^ key) & mask)
        return (left << bits) | right
