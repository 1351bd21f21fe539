"""Fuzzy matches for the segments that a spec names, found once and left beside the prepared data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from finetune_api.adapt import Retrieval
from finetune_api.plan import Plan
from finetune_trainer.data.match_requests import MatchRequest, retrieval_of
from finetune_trainer.data.match_tables import (
    Batch,
    encoder_digests,
    missing_requests,
    read_table,
    table_fingerprint,
    write_table,
)
from finetune_trainer.data.prepared import MATCHES, PreparedData
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.retrieval import FuzzyIndex
from finetune_trainer.workspace.artifacts import write_artifact

CHUNK = 4096
"""Segments that are looked up together."""


def find_missing_matches(plan: Plan, workspace: Path, data: PreparedData, on_rows: Callable[[int], None]) -> int:
    """Find what the plan's spec asks for and no table has; one index a pool. Returns the segments looked up.

    Args:
        plan: of the job; tables are written into its folder.
        workspace: that the folder is in.
        data: what prepare made.
        on_rows: called with the number of segments looked up so far.

    Raises:
        BadConfiguration: if the encoder cannot be used, or a pool has fewer pairs than a prompt shall have examples.
        BadData: if `maxSimilarity` leaves no segment of a split a match.
    """
    retrieval = retrieval_of(plan.spec)
    groups = missing_requests(plan.spec, data)
    for group in groups:
        _check_pool(group, data)
    done = 0
    for _, of_pool in groupby(sorted(groups, key=_pool), key=_pool):
        tables = list(of_pool)
        pool, language = _pool(tables[0])
        index = FuzzyIndex.build(data.pairs(pool, "train").text(language), retrieval)
        for group in tables:
            done = _write(plan, workspace, data, group, index, done, on_rows)
    return done


def _pool(group: Sequence[MatchRequest]) -> tuple[str, str]:
    return group[0].pool, group[0].pool_compared


def _check_pool(group: Sequence[MatchRequest], data: PreparedData) -> None:
    """More examples than there are pairs are not to be had."""
    for request in group:
        others = data.rows(request.pool, "train") - (1 if request.is_own_pool else 0)
        if request.count > others and data.rows(request.source, request.split):
            raise BadConfiguration(
                "TooFewExamples",
                f"{request.field} asks for {request.count} of the training pairs of '{request.pool}' in a prompt, "
                f"and there are {others}{' beside its own' if request.is_own_pool else ''}",
                "Use fewer shots, or give more pairs.",
            )


def _write(
    plan: Plan,
    workspace: Path,
    data: PreparedData,
    group: Sequence[MatchRequest],
    index: FuzzyIndex,
    done: int,
    on_rows: Callable[[int], None],
) -> int:
    """One table, for all requests of the group."""
    retrieval = retrieval_of(plan.spec)
    fingerprint = table_fingerprint(data, group[0], retrieval)
    count, rows = max(r.count for r in group), np.unique(np.concatenate([r.rows(data) for r in group]))
    named = plan.model_copy(update={"fingerprint": fingerprint})
    place = plan.path(f"{MATCHES}/{fingerprint[:16]}")
    with write_artifact(workspace, place, named, encoder_digests(retrieval)) as folder:
        for segments in write_table(folder, count, _search(data, group[0], index, rows, count)):
            done += segments
            on_rows(done)
        if len(rows) and not (read_table(folder).matches >= 0).any():
            raise _nothing_allowed(group[0], retrieval)
    return done


def _search(
    data: PreparedData, request: MatchRequest, index: FuzzyIndex, rows: np.ndarray, count: int
) -> Iterator[Batch]:
    texts = data.pairs(request.source, request.split).text(request.compared)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        found = index.search([texts[int(row)] for row in part], part if request.is_own_pool else None, count)
        yield part, found.rows, found.similarity


def _nothing_allowed(request: MatchRequest, retrieval: Retrieval) -> BadData:
    return BadData(
        "NoMatches",
        f"spec.adapt.prompts.retrieval.maxSimilarity is {retrieval.max_similarity:g}: every training pair of "
        f"'{request.pool}' is more similar than this to each segment of the {request.split} split of "
        f"'{request.source}', so none is left for {request.field}",
        "Raise it, or use shots: [0].",
    )
