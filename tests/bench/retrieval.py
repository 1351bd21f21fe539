"""How long fuzzy matches take to find, in how much memory, and how often an IVF index finds the best of all.

    python tests/bench/retrieval.py [texts] [queries]

Texts are made up: 5 to 25 words of 20,000, whose frequencies follow Zipf's law. Half of the queries are texts of the
pool with each fourth word replaced, half are new. `index` is all the work that is done once, whatever is asked: n-grams
are counted and encoded, the index is trained and filled. By default 100000 and 2000; 1000000 take minutes and 3 GB.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Callable
from itertools import accumulate
from typing import TypeVar

import numpy as np

from finetune_api.adapt import Retrieval
from finetune_trainer.retrieval import FuzzyIndex

T = TypeVar("T")
WORDS = 20_000


def made_up(count: int, queries: int) -> tuple[list[str], list[str]]:
    """A pool of texts, and queries of which every other one is an edited text of the pool."""
    chance = random.Random(7)
    words = ["".join(chance.choices("abcdefghijklmnoprstuvz", k=chance.randint(2, 10))) for _ in range(WORDS)]
    weights = list(accumulate(1 / rank for rank in range(1, WORDS + 1)))

    def text() -> str:
        return " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(5, 25)))

    def edited(source: str) -> str:
        parts = source.split()
        for place in range(0, len(parts), 4):
            parts[place] = chance.choice(words)
        return " ".join(parts)

    pool = [text() for _ in range(count)]
    return pool, [edited(chance.choice(pool)) if number % 2 else text() for number in range(queries)]


def timed(function: Callable[[], T]) -> tuple[T, float, float]:
    """What a function returns, its wall time and its CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def show(name: str, built: tuple[float, float], searched: tuple[float, float], note: str) -> None:
    """One row of the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures = f"{built[0]:9.1f} {built[1]:9.1f} {searched[0]:10.2f} {searched[1]:10.2f} {peak:9.2f}"
    print(f"{name:12} {figures}  {note}", flush=True)


def main() -> None:
    """Print the table; the flat index comes last, so that peaks of memory are those of each index."""
    given = [int(value) for value in sys.argv[1:3]]
    count, queries = (*given, *(100_000, 2_000)[len(given) :])
    pool, asked = made_up(count, queries)
    print(f"{count:,} texts, {queries:,} queries; seconds, and GiB at most so far")
    print(f"{'':12} {'index':>9} {'CPU':>9} {'search':>10} {'CPU':>10} {'memory':>9}")
    found = {}
    for name in ("IVFFlat", "Flat"):
        index, *built = timed(lambda name=name: FuzzyIndex.build(pool, Retrieval(index=name)))  # type: ignore[misc]
        matches, *searched = timed(lambda index=index: index.search(asked))  # type: ignore[misc]
        found[name] = matches.rows[:, 0]
        note = ""
        if name == "Flat":
            same = found["IVFFlat"] == found["Flat"]
            edited = np.arange(queries) % 2 == 1
            note = f"recall@1 of IVFFlat: {same[edited].mean():.3f} edited, {same[~edited].mean():.3f} new"
        show(name, (built[0], built[1]), (searched[0], searched[1]), note)
        del index


if __name__ == "__main__":
    main()
