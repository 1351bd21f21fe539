"""Which rows are trained on, validated on and tested on: de-duplication, split, decontamination, all on hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune_api.data import Data, Split
from finetune_api.languages import canonical_language
from finetune_trainer.data.staging import StagedSource
from finetune_trainer.errors import BadData
from finetune_trainer.hashing import Hashes, text_hash, uniform

DROPPED = -1
TRAIN, VALIDATION, TEST = range(3)
ROLE_SPLITS = {"Validation": VALIDATION, "Test": TEST}
Assignment = NDArray[np.int8]
"""(rows,): index into data.prepared.SPLITS, or DROPPED."""


def select_rows(staged: Sequence[StagedSource], data: Data) -> list[Assignment]:
    """The split of each row of each source; what is dropped is counted in the sources' tallies.

    Order: duplicates go first (all but one of each over all Train sources; Test and Validation sources stay whole);
    then Train sources are split by the hash of their first side; then rows of training that share a side with
    validation or test, and rows of validation that share one with test, are dropped.
    """
    assignments = [_split_of_rows(source, data.split) for source in staged]
    if data.deduplicate.exact:
        _drop_duplicates(staged, assignments)
    _decontaminate(staged, assignments, [TEST], [VALIDATION, TRAIN], foreign=data.decontaminate)
    _decontaminate(staged, assignments, [VALIDATION], [TRAIN], foreign=data.decontaminate)
    for source, assignment in zip(staged, assignments, strict=True):
        stays = assignment != DROPPED
        source.tally.kept = source.count_rows(stays)
        source.tally.pieces_kept = int(stays.sum()) if source.tally.pieces else 0
    return assignments


def check_selection(staged: Sequence[StagedSource], assignments: Sequence[Assignment], *, strict: bool) -> None:
    """Refuse a selection with nothing to train on; `strict` also makes sure that nothing leaks.

    Raises:
        BadData: if there are sources to train on and no row of them is left.
    """
    trains = any(source.source.role == "Train" for source in staged)
    if trains and not sum(int((assignment == TRAIN).sum()) for assignment in assignments):
        raise BadData(
            "NothingLeft",
            "no row is left for training after de-duplication, split and decontamination",
            "Give more text, or lower data.split.",
        )
    leaked = leaked_rows(staged, assignments)
    if strict and leaked:
        raise AssertionError(f"{leaked} training rows share a side with validation or test")


def leaked_rows(staged: Sequence[StagedSource], assignments: Sequence[Assignment]) -> int:
    """Rows of training that share a side with validation or test; 0 after `select_rows` with decontaminate."""
    held_out = _sides(staged, assignments, [VALIDATION, TEST])
    return sum(
        int(np.isin(source.sides[assignment == TRAIN], held_out).any(axis=1).sum())
        for source, assignment in zip(staged, assignments, strict=True)
    )


def _split_of_rows(staged: StagedSource, split: Split) -> Assignment:
    if staged.source.role in ROLE_SPLITS:
        return np.full(len(staged.keys), ROLE_SPLITS[staged.source.role], np.int8)
    position = uniform(staged.sides[:, 0], split.seed)
    result = np.full(len(staged.keys), TRAIN, np.int8)
    result[position < split.validation + split.test] = VALIDATION
    result[position < split.test] = TEST
    return result


def _drop_duplicates(staged: Sequence[StagedSource], assignments: Sequence[Assignment]) -> None:
    """Train sources count as one, so that a row occurs once in all of training."""
    train = [i for i, s in enumerate(staged) if s.source.role == "Train"]
    if not train:
        return
    keys = np.concatenate([_typed_keys(staged[i]) for i in train])
    is_first = np.zeros(len(keys), bool)
    is_first[np.unique(keys, return_index=True)[1]] = True
    start = 0
    for index in train:
        end = start + len(staged[index].keys)
        _drop(staged[index], assignments[index], ~is_first[start:end], "duplicate")
        start = end


def _typed_keys(staged: StagedSource) -> Hashes:
    """Pairs and texts are different things, and so are pairs of different languages."""
    return staged.keys ^ np.uint64(text_hash("-".join(map(canonical_language, staged.source.languages))))


def _sides(staged: Sequence[StagedSource], assignments: Sequence[Assignment], splits: list[int]) -> Hashes:
    found = [s.sides[np.isin(a, splits)].ravel() for s, a in zip(staged, assignments, strict=True)]
    return np.unique(np.concatenate(found))


def _decontaminate(
    staged: Sequence[StagedSource],
    assignments: Sequence[Assignment],
    protected: list[int],
    cleaned: list[int],
    *,
    foreign: bool,
) -> None:
    """Drop rows of `cleaned` splits that share a side with `protected` splits.

    A source is always kept apart from its own held-out rows; `foreign` also keeps it apart from all others'.
    """
    everywhere = _sides(staged, assignments, protected) if foreign else None
    for source, assignment in zip(staged, assignments, strict=True):
        held_out = everywhere if everywhere is not None else _sides([source], [assignment], protected)
        hit = np.isin(source.sides, held_out).any(axis=1) & np.isin(assignment, cleaned)
        _drop(source, assignment, hit, "inTest")


def _drop(staged: StagedSource, assignment: Assignment, pieces: NDArray[np.bool_], rule: str) -> None:
    """A row that is not cut is its only piece."""
    stays = assignment != DROPPED
    pieces = pieces & stays
    if not pieces.any():
        return
    assignment[pieces] = DROPPED
    lost = staged.count_rows(stays) - staged.count_rows(assignment != DROPPED)
    staged.tally.dropped += Counter({rule: lost})  # a count of nothing is left out
    if staged.tally.pieces:
        staged.tally.pieces_dropped[rule] += int(pieces.sum())
