"""De-duplication, split and decontamination: invariants over arbitrary corpora."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import Data, DataSource, Role, Split
from finetune_trainer.data.select import DROPPED, TRAIN, leaked_rows, select_rows
from finetune_trainer.data.staging import StagedSource, _row_keys
from finetune_trainer.data.tally import Tally
from finetune_trainer.hashing import text_hash, uniform

WORDS = st.sampled_from([f"word{i}" for i in range(40)])
PAIR = st.tuples(WORDS, WORDS)


def staged(
    name: str, role: Role, pairs: list[tuple[str, str]], languages: tuple[str, str] = ("en", "es")
) -> StagedSource:
    source = DataSource(name=name, type="Parallel", languages=list(languages), uri="file:///x", role=role)
    sides = np.array([[text_hash(text) for text in pair] for pair in pairs], np.uint64).reshape(-1, 2)
    return StagedSource(source, Path(), _row_keys(sides), sides, Tally(read=len(pairs)))


def data(sources: list[StagedSource]) -> Data:
    return Data(sources=[s.source for s in sources], split=Split(validation=0.2, test=0.2, seed=3))


@given(st.lists(PAIR, min_size=1, max_size=60), st.lists(PAIR, max_size=30), st.lists(PAIR, max_size=20))
def test_nothing_is_in_two_places_and_every_row_is_accounted_for(
    first: list[tuple[str, str]], second: list[tuple[str, str]], test: list[tuple[str, str]]
) -> None:
    corpora = {"first": first, "second": second, "bench": test}
    sources = [staged(n, "Test" if n == "bench" else "Train", pairs) for n, pairs in corpora.items()]
    assignments = select_rows(sources, data(sources))

    sides: dict[int, set[str]] = {}
    trained: list[tuple[str, str]] = []
    for pairs, assignment in zip(corpora.values(), assignments, strict=True):
        for pair, split in zip(pairs, assignment.tolist(), strict=True):
            sides.setdefault(split, set()).update(pair)
            if split == TRAIN:
                trained.append(pair)
    assert len(trained) == len(set(trained))
    held_out = set().union(*(texts for split, texts in sides.items() if split not in (TRAIN, DROPPED)))
    assert not sides.get(TRAIN, set()) & held_out
    assert leaked_rows(sources, assignments) == 0
    for source in sources:
        assert source.tally.kept + source.tally.dropped.total() == source.tally.read


@given(st.lists(PAIR, min_size=1, max_size=60))
def test_the_split_of_a_row_depends_on_its_content_only(pairs: list[tuple[str, str]]) -> None:
    unique = list(dict.fromkeys(pairs))
    forwards, backwards = staged("a", "Train", unique), staged("a", "Train", unique[::-1])
    one = select_rows([forwards], data([forwards]))[0]
    other = select_rows([backwards], data([backwards]))[0]
    assert one.tolist() == other[::-1].tolist()


def test_shares_come_out_as_asked() -> None:
    position = uniform(np.array([text_hash(str(i)) for i in range(20_000)], np.uint64), 17)
    assert abs((position < 0.02).mean() - 0.02) < 0.004
    assert abs(position.mean() - 0.5) < 0.01


def test_another_seed_is_another_split() -> None:
    hashes = np.array([text_hash(str(i)) for i in range(1000)], np.uint64)
    assert not np.array_equal(uniform(hashes, 1) < 0.5, uniform(hashes, 2) < 0.5)


def test_without_decontamination_a_source_still_does_not_leak_into_itself() -> None:
    pairs = [(f"en{i}", f"es{i % 7}") for i in range(200)]
    sources = [staged("a", "Train", pairs), staged("bench", "Test", pairs[:20])]
    settings = data(sources).model_copy(update={"decontaminate": False})
    assignments = select_rows(sources, settings)
    assert leaked_rows([sources[0]], [assignments[0]]) == 0


def test_pairs_of_the_same_languages_under_other_codes_are_duplicates() -> None:
    pairs = [(f"word{i}", f"palabra{i}") for i in range(20)]
    sources = [
        staged("a", "Train", pairs),
        staged("b", "Train", pairs, ("eng_Latn", "spa")),
        staged("c", "Train", pairs, ("en", "pt")),
    ]
    select_rows(sources, data(sources))
    assert [source.tally.dropped["duplicate"] for source in sources] == [0, 20, 0]
