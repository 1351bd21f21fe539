"""chrF of every text against every other, from counts that are made once a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ORDER, BETA = 6, 2.0
"""chrF (Popović 2015) as sacrebleu computes it: characters without blanks, up to six in a row, recall counts double."""

Matrix = npt.NDArray[np.float64]


def pairwise_chrf(texts: Sequence[str]) -> Matrix:
    """(N, N), 0 to 100: row i has text i as the hypothesis, column j text j as the reference; as `sentence_chrf`.

    Equal texts are counted once, however often they are sampled.
    """
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    scores = _pairwise(["".join(text.split()) for text in places])
    index = [places[text] for text in texts]
    return scores[np.ix_(index, index)]


def _pairwise(texts: Sequence[str]) -> Matrix:
    """Precision and recall are means over the orders that both texts have; F beta of these means."""
    count = len(texts)
    precision, recall, orders = (np.zeros((count, count)) for _ in range(3))
    for order in range(1, ORDER + 1):
        shared, sizes = _shared(texts, order)
        both = (sizes[:, None] > 0) & (sizes[None, :] > 0)
        orders += both
        precision += np.where(both, shared / np.maximum(sizes[:, None], 1), 0.0)
        recall += np.where(both, shared / np.maximum(sizes[None, :], 1), 0.0)
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    weighted = BETA**2 * precision + recall
    return 100 * np.divide(
        (1 + BETA**2) * precision * recall, weighted, out=np.zeros_like(weighted), where=weighted > 0
    )


def _shared(texts: Sequence[str], order: int) -> tuple[Matrix, Matrix]:
    """How many n-grams each two texts share, counted with repetition (N, N), and how many each has (N,).

    The k-th occurrence of an n-gram in a text is a feature of its own. So the smaller of two counts is the number of
    features that both have, and one product of matrices gives it for all pairs.
    """
    features: dict[tuple[str, int], int] = {}
    rows: list[list[int]] = []
    for text in texts:
        seen: Counter[str] = Counter()
        row = []
        for start in range(len(text) - order + 1):
            gram = text[start : start + order]
            row.append(features.setdefault((gram, seen[gram]), len(features)))
            seen[gram] += 1
        rows.append(row)
    has = np.zeros((len(texts), len(features)), np.float32)
    for place, row in enumerate(rows):
        has[place, row] = 1.0
    return (has @ has.T).astype(np.float64), np.array([len(row) for row in rows], np.float64)
