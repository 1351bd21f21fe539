"""The default encoder: hashed character n-grams with TF-IDF weights. It needs no model and works for any language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from finetune_trainer.hashing import GOLDEN, mix
from finetune_trainer.retrieval.encoders import Vectors

Features = npt.NDArray[np.uint64]

_SIZES = (3, 4, 5)
_FEATURE_BITS = 20
_CHUNK = 2048


class NgramEncoder:
    """TF-IDF over character 3- to 5-grams, projected to a dense vector by feature hashing with signs.

    The weight of an n-gram is (1 + ln tf) x (1 + ln((1 + N) / (1 + df))). A signed hash into `dimension` cells keeps
    inner products in the mean (Weinberger et al. 2009); their error falls with 1 / sqrt(dimension). Document
    frequencies are counted in 2^20 cells, so that they are those of single n-grams. Case and blanks do not count.
    """

    def __init__(self, dimension: int = 1024) -> None:
        self.dimension = dimension
        self._idf = np.ones(1 << _FEATURE_BITS, np.float32)

    def fit(self, texts: Sequence[str]) -> None:
        """Count in how many of `texts` each n-gram occurs."""
        frequency = np.zeros(1 << _FEATURE_BITS, np.int64)
        for start in range(0, len(texts), _CHUNK):
            _, features, _ = _count_ngrams(texts[start : start + _CHUNK])
            frequency += np.bincount(_cells(features), minlength=len(frequency))
        self._idf = (1 + np.log((1 + len(texts)) / (1 + frequency))).astype(np.float32)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), _CHUNK):
            part = vectors[start : start + _CHUNK]
            rows, features, counts = _count_ngrams(texts[start : start + _CHUNK])
            weights = (1 + np.log(counts)) * self._idf[_cells(features)]
            sign = 1.0 - 2.0 * ((features >> np.uint64(32)) & np.uint64(1)).astype(np.float32)
            column = (features >> np.uint64(33)) % np.uint64(self.dimension)
            cell = rows * self.dimension + column.astype(np.int64)
            part += np.bincount(cell, weights * sign, minlength=part.size).reshape(part.shape).astype(np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors


def _cells(features: Features) -> npt.NDArray[np.int64]:
    return (features & np.uint64((1 << _FEATURE_BITS) - 1)).astype(np.int64)


def _count_ngrams(texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], Features, npt.NDArray[np.int64]]:
    """(row, hash, count) of every different n-gram of every text."""
    plain = [f" {' '.join(str(text).casefold().split())} " for text in texts]
    lengths = np.array([len(text) for text in plain], np.int64)
    points = np.frombuffer("".join(plain).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(plain), dtype=np.int64), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(points))  # characters to the end of the text
    rows, features = [], []
    for size in _SIZES:
        starts = np.flatnonzero(left >= size)
        value = np.full(len(starts), size, np.uint64)
        for offset in range(size):
            value = mix((value ^ points[starts + offset]) + GOLDEN)
        rows.append(owner[starts])
        features.append(value)
    return _unique(np.concatenate(rows), np.concatenate(features))


def _unique(
    rows: npt.NDArray[np.int64], features: Features
) -> tuple[npt.NDArray[np.int64], Features, npt.NDArray[np.int64]]:
    order = np.lexsort((features, rows))
    rows, features = rows[order], features[order]
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:] != rows[:-1]) | (features[1:] != features[:-1])
    starts = np.flatnonzero(first)
    return rows[starts], features[starts], np.diff(starts, append=len(rows))
