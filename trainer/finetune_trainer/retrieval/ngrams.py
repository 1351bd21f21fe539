"""The default encoder: TF-IDF of character n-grams. It needs no model and works for any language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer

from finetune_trainer.retrieval.encoders import Vectors

_SIZES = (3, 5)
_CELLS = 1 << 20
_CHUNK = 2048
_SEED = 20


class NgramEncoder:
    """TF-IDF over character 3- to 5-grams, hashed into 2^20 cells and projected to a dense vector.

    An n-gram weighs (1 + ln tf) x sqrt(1 + ln((1 + N) / (1 + df))), so that its rarity counts once in the product of
    two texts, as it does in BM25; with whole weights on both sides it counts twice, and matches are worse
    (docs/architecture.md). A count sketch, one random sign and column a cell, keeps inner products in the mean
    (Weinberger et al. 2009); their error falls with 1 / sqrt(dimension). Case and blanks do not count.
    """

    def __init__(self, dimension: int = 1024) -> None:
        self.dimension = dimension
        self._weights = np.ones(_CELLS, np.float32)
        self._counter = HashingVectorizer(
            analyzer="char", ngram_range=_SIZES, n_features=_CELLS, preprocessor=_plain, alternate_sign=False,
            norm=None, dtype=np.float32,
        )  # fmt: skip
        chance = np.random.default_rng(_SEED)
        signs = chance.choice(np.array([-1.0, 1.0], np.float32), _CELLS)
        columns = chance.integers(0, dimension, _CELLS)
        self._sketch = csr_matrix((signs, columns, np.arange(_CELLS + 1)), shape=(_CELLS, dimension))

    def fit(self, texts: Sequence[str]) -> None:
        """Count in how many of `texts` each n-gram occurs."""
        frequency = np.zeros(_CELLS, np.int64)
        for start in range(0, len(texts), _CHUNK):
            counts = self._counter.transform(texts[start : start + _CHUNK])
            frequency += np.bincount(counts.indices, minlength=_CELLS)
        self._weights = np.sqrt(1 + np.log((1 + len(texts)) / (1 + frequency))).astype(np.float32)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), _CHUNK):
            counts = self._counter.transform(texts[start : start + _CHUNK])
            counts.data = (1 + np.log(counts.data)) * self._weights[counts.indices]
            vectors[start : start + _CHUNK] = (counts @ self._sketch).toarray()
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors


def _plain(text: str) -> str:
    return f" {' '.join(str(text).casefold().split())} "
