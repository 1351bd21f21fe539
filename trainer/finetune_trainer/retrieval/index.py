"""Fuzzy matches: the most similar other texts."""

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

FLAT_UP_TO = 100_000
"""Texts of which Auto makes a flat index: comparing all with all grows as their square."""
NPROBE = 64
"""Cells of an IVF index that are searched. Moslem et al. 2023 search 32; of weak matches these miss one in four."""
CHUNK = 4096
"""Texts that are encoded and looked up together."""
_FIRST_DEPTH = 16
_MOST_CANDIDATES = 1 << 22
"""Queries times rows looked at together: bounds memory where many of the nearest rows are not allowed."""
_POINTS_PER_CELL = 32
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Matches:
    """The best matches of every query, the most similar first."""

    rows: Rows
    """(queries, count): rows in the index; -1 where no further row is allowed."""
    similarity: npt.NDArray[np.float32]
    """(queries, count): cosine; 0 where there is no match."""


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
        if retrieval.index == "IVFFlat" or (retrieval.index == "Auto" and len(texts) > FLAT_UP_TO):
            index = _train_ivf(index, encoder, texts)
        for start in range(0, len(texts), CHUNK):
            index.add(encoder.encode(texts[start : start + CHUNK]))
        return cls(encoder, index, retrieval.max_similarity)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, texts: Sequence[str], own_rows: Rows | None = None, count: int = 1) -> Matches:
        """The `count` most similar indexed texts of each of `texts`; of equals the first ones.

        Queries that are indexed texts themselves have `own_rows`: a row is never its own match. Rows more similar than
        `max_similarity` are passed over.
        """
        own = np.full(len(texts), -1, np.int64) if own_rows is None else np.asarray(own_rows, np.int64)
        matches = _none(len(texts), count)
        for start in range(0, len(texts), CHUNK):
            part = slice(start, start + CHUNK)
            found = self._best(self._encoder.encode(texts[part]), own[part], count)
            matches.rows[part], matches.similarity[part] = found.rows, found.similarity
        return matches

    def _best(self, queries: Vectors, own: Rows, count: int) -> Matches:
        """Look deeper where too many of the nearest rows are out of the question, in the end at all rows."""
        best = _none(len(queries), count)
        open_ = np.arange(len(queries))
        depth = min(max(_FIRST_DEPTH, 4 * count), len(self))
        while len(open_):
            exhaustive = depth == len(self)
            together = max(1, _MOST_CANDIDATES // depth)
            for some in np.split(open_, range(together, len(open_), together)):
                similarity, rows = self._nearest(queries[some], depth, exhaustive)
                chosen = self._choose(rows, similarity, own[some], count)
                best.rows[some], best.similarity[some] = chosen.rows, chosen.similarity
            open_ = open_[(best.rows[open_] < 0).any(axis=1)]
            if exhaustive:
                break
            depth = min(8 * depth, len(self))
        return best

    def _nearest(self, queries: Vectors, depth: int, exhaustive: bool) -> tuple[Vectors, Rows]:
        if isinstance(self._index, faiss.IndexIVF):
            self._index.nprobe = self._index.nlist if exhaustive else min(NPROBE, self._index.nlist)
        similarity, rows = self._index.search(queries, depth)
        return np.minimum(similarity, 1.0), rows  # half precision may pass it

    def _choose(self, found: Rows, similarity: Vectors, own: Rows, count: int) -> Matches:
        """The best allowed rows of each query, one after the other; float noise does not break ties."""
        allowed = (found >= 0) & (found != own[:, None]) & (similarity <= self._max_similarity + _TOLERANCE)
        chosen, queries = _none(len(found), count), np.arange(len(found))
        for place in range(count):
            best = np.where(allowed, similarity, -np.inf).max(axis=1, keepdims=True)
            candidates = np.where(allowed & (similarity >= best - _TOLERANCE), found, np.iinfo(np.int64).max)
            column, there = candidates.argmin(axis=1), allowed.any(axis=1)
            chosen.rows[there, place] = found[queries, column][there]
            chosen.similarity[there, place] = similarity[queries, column][there]
            allowed[queries, column] = False
        return chosen


def _none(queries: int, count: int) -> Matches:
    return Matches(np.full((queries, count), -1, np.int64), np.zeros((queries, count), np.float32))


def _train_ivf(quantizer: Any, encoder: Encoder, texts: Sequence[str]) -> Any:
    """Cells by k-means on an even sample: 4 sqrt(N) of them, as FAISS' guidelines have it.

    Vectors are kept in half precision, 2 GB for a million of 1,024 dimensions.
    """
    cells = max(1, min(len(texts), round(4 * math.sqrt(len(texts)))))
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, encoder.dimension, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT,
        False,  # by_residual: vectors themselves, not what is left of a cell's centre
    )  # fmt: skip
    index.cp.seed = 1234
    index.cp.niter = 10
    index.cp.min_points_per_centroid = 1  # otherwise it warns on standard error about small corpora
    index.cp.max_points_per_centroid = _POINTS_PER_CELL
    wanted = min(len(texts), _POINTS_PER_CELL * cells)
    sample = np.unique(np.linspace(0, len(texts) - 1, wanted).astype(np.int64))
    index.train(encoder.encode([texts[int(row)] for row in sample]))
    return index
