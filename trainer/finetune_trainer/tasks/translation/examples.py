"""Solved examples for prompts: pairs of a training split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finetune_api.adapt import Retrieval
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.retrieval import FuzzyIndex

Pair = tuple[str, str]
"""A source and its translation."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Training pairs for the prompt of every test segment, the most similar first."""

    pairs: list[list[Pair]]
    """Sources and their translations, as many of each segment as are allowed."""
    similarity: npt.NDArray[np.float32] | None = None
    """(segments, count): cosine of the two sources, 0 where there is no pair; None of random ones."""


def draw_examples(
    data: PreparedData,
    pool: str,
    languages: tuple[str, str],
    keys: npt.NDArray[np.uint64],
    count: int,
    draw: int,
) -> Examples:
    """`count` different training pairs for each segment, at random: a function of the segment's content and the draw.

    Args:
        data: that the pairs are from.
        pool: source of the pairs.
        languages: what it calls them, source first.
        keys: (segments,) content hashes.
        count: pairs of each.
        draw: which draw this is, from 1.

    Raises:
        BadConfiguration: if there are not so many pairs.
    """
    available = data.rows(pool, "train")
    if count > available:
        raise BadConfiguration(
            "TooFewExamples",
            f"{count} different examples are wanted in a prompt, and '{pool}' has {available} training pairs",
            "Use fewer shots, or give more pairs.",
        )
    generators = (np.random.default_rng([draw, key]) for key in keys.tolist())
    rows = np.array([generator.choice(available, count, replace=False) for generator in generators], np.int64)
    return Examples(example_pairs(data, pool, languages, rows.reshape(len(keys), count)))


def example_pairs(
    data: PreparedData, pool: str, languages: tuple[str, str], rows: npt.NDArray[np.int64]
) -> list[list[Pair]]:
    """Training pairs of source `pool`, by what it calls the languages, for (n, count) rows of which -1 is none."""
    first, second = (data.pairs(pool, "train").text(language) for language in languages)
    return [[(one_line(first[row]), one_line(second[row])) for row in some if row >= 0] for some in rows.tolist()]


class ExampleIndex:
    """Finds pairs of the training split to put before sources that nobody knew when data were prepared."""

    def __init__(self, data: PreparedData, pool: str, languages: tuple[str, str], retrieval: Retrieval) -> None:
        """`languages` is what source `pool` calls them, source first."""
        self._data, self._pool, self._languages = data, pool, languages
        self._index = FuzzyIndex.build(data.pairs(pool, "train").text(languages[0]), retrieval)

    def find(self, sources: Sequence[str], count: int) -> list[list[Pair]]:
        """The best `count` matches of each source, the most similar first."""
        rows = self._index.search(sources, count=min(count, len(self._index))).rows
        return example_pairs(self._data, self._pool, self._languages, rows)
