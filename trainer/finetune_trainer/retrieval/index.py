"""Fuzzy matches: the most similar other text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from finetune_api.adapt import Retrieval
from finetune_trainer.errors import BadData
from finetune_trainer.retrieval.encoders import Encoder, TransformerEncoder, Vectors
from finetune_trainer.retrieval.ngrams import NgramEncoder

Rows = npt.NDArray[np.int64]

NPROBE = 32
"""Cells of an IVF index that are searched (Moslem et al. 2023)."""
_CHUNK = 4096
_FIRST_DEPTH = 16
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Matches:
    """The best match of every query."""

    rows: Rows
    """Row in the index; -1 if no row is allowed."""
    similarity: npt.NDArray[np.float32]
    """Cosine; 0 where there is no match."""


class FuzzyIndex:
    """An index over the texts of a training split; never over validation or test texts."""

    def __init__(self, encoder: Encoder, index: Any, max_similarity: float) -> None:
        """Use `build`."""
        self._encoder = encoder
        self._index = index
        self._max_similarity = max_similarity

    @classmethod
    def build(
        cls,
        texts: Sequence[str],
        retrieval: Retrieval,
        field: str = "spec.adapt.prompts.retrieval",
        encoder: Encoder | None = None,
    ) -> FuzzyIndex:
        """Index `texts`; the same texts give the same index.

        Raises:
            BadData: if there are no texts.
            BadConfiguration: if `retrieval.encoder` cannot be used.
        """
        if len(texts) == 0:
            raise BadData(
                "NothingToRetrieve", f"{field}: there are no training texts to find fuzzy matches in", "Use shots: [0]."
            )
        if encoder is None:
            given = retrieval.encoder
            encoder = NgramEncoder() if given is None else TransformerEncoder(given, f"{field}.encoder")
        encoder.fit(texts)
        index = faiss.IndexFlatIP(encoder.dimension)
        if retrieval.index == "IVFFlat":
            index = _train_ivf(index, encoder, texts)
        for start in range(0, len(texts), _CHUNK):
            index.add(encoder.encode(texts[start : start + _CHUNK]))
        return cls(encoder, index, retrieval.max_similarity)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, texts: Sequence[str], exclude_self: bool = False, own_rows: Rows | None = None) -> Matches:
        """The most similar indexed text of each of `texts`; of equals the first.

        With `exclude_self` the queries are indexed texts themselves, in the order of the index or at `own_rows`, and
        a row is never its own match. Rows more similar than `max_similarity` are passed over.
        """
        own = np.full(len(texts), -1, np.int64)
        if exclude_self:
            own = np.arange(len(texts), dtype=np.int64) if own_rows is None else np.asarray(own_rows, np.int64)
        rows, similarity = np.full(len(texts), -1, np.int64), np.zeros(len(texts), np.float32)
        for start in range(0, len(texts), _CHUNK):
            part = slice(start, start + _CHUNK)
            rows[part], similarity[part] = self._best(self._encoder.encode(texts[part]), own[part])
        return Matches(rows, similarity)

    def _best(self, queries: Vectors, own: Rows) -> tuple[Rows, npt.NDArray[np.float32]]:
        """Look deeper where all of the nearest rows are out of the question, in the end at all rows."""
        rows, similarity = np.full(len(queries), -1, np.int64), np.zeros(len(queries), np.float32)
        open_ = np.arange(len(queries))
        depth = min(_FIRST_DEPTH, len(self))
        while len(open_):
            exhaustive = depth == len(self)
            found_similarity, found = self._nearest(queries[open_], depth, exhaustive)
            best = self._choose(found, found_similarity, own[open_])
            done = best >= 0
            rows[open_[done]] = found[done, best[done]]
            similarity[open_[done]] = found_similarity[done, best[done]]
            if exhaustive:
                break
            open_ = open_[~done]
            depth = min(8 * depth, len(self))
        return rows, similarity

    def _nearest(self, queries: Vectors, depth: int, exhaustive: bool) -> tuple[Vectors, Rows]:
        if isinstance(self._index, faiss.IndexIVF):
            self._index.nprobe = self._index.nlist if exhaustive else min(NPROBE, self._index.nlist)
        similarity, rows = self._index.search(queries, depth)
        return similarity, rows

    def _choose(self, found: Rows, similarity: Vectors, own: Rows) -> Rows:
        """Column of the best allowed row, -1 if there is none; float noise does not break ties."""
        allowed = (found >= 0) & (found != own[:, None]) & (similarity <= self._max_similarity + _TOLERANCE)
        best = np.where(allowed, similarity, -np.inf).max(axis=1, keepdims=True)
        candidates = np.where(allowed & (similarity >= best - _TOLERANCE), found, np.iinfo(np.int64).max)
        return np.where(allowed.any(axis=1), candidates.argmin(axis=1), -1)


def _train_ivf(quantizer: Any, encoder: Encoder, texts: Sequence[str]) -> Any:
    """Cells by k-means on an even sample: 4 sqrt(N) of them, as FAISS' guidelines have it."""
    cells = max(1, min(len(texts), round(4 * math.sqrt(len(texts)))))
    index = faiss.IndexIVFFlat(quantizer, encoder.dimension, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = 1234
    index.cp.niter = 10
    index.cp.min_points_per_centroid = 1  # otherwise it warns on standard error about small corpora
    index.cp.max_points_per_centroid = 64
    wanted = min(len(texts), 64 * cells)
    sample = np.unique(np.linspace(0, len(texts) - 1, wanted).astype(np.int64))
    index.train(encoder.encode([texts[int(row)] for row in sample]))
    return index
