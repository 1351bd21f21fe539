from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.adapt import Retrieval
from finetune_api.common import UriReference
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.retrieval import FuzzyIndex
from finetune_trainer.retrieval.ngrams import NgramEncoder

WORDS = [
    "account", "archive", "button", "calendar", "change", "delete", "document", "download", "event", "export",
    "file", "folder", "group", "history", "image", "import", "invoice", "language", "letter", "list", "message",
    "move", "name", "network", "open", "order", "page", "password", "payment", "person", "place", "print", "project",
    "question", "refund", "report", "search", "select", "send", "server", "settings", "share", "table", "ticket",
]  # fmt: skip


def sentences(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(5, 10))).capitalize() + "." for _ in range(count)]


POOL = sentences(1500, 1)


@pytest.fixture(scope="module", params=["Flat", "IVFFlat"])
def index(request: pytest.FixtureRequest) -> FuzzyIndex:
    return FuzzyIndex.build(POOL, Retrieval(index=request.param))


def test_a_near_duplicate_is_found(index: FuzzyIndex) -> None:
    rows = list(range(0, 1500, 15))
    queries = [POOL[row].replace(".", " today!").replace(" ", "  ", 1).upper() for row in rows]
    matches = index.search(queries)
    assert (matches.rows[:, 0] == rows).mean() >= 0.98
    assert matches.similarity.min() > 0.5


def test_a_text_matches_itself_unless_excluded(index: FuzzyIndex) -> None:
    assert index.search(POOL[:200]).rows[:, 0].tolist() == list(range(200))
    half = "IVF" in type(index._index).__name__  # which keeps vectors in half precision
    assert index.search(POOL[:200]).similarity[:, 0] == pytest.approx(1.0, abs=5e-4 if half else 1e-5)
    rows = np.array([7, 300, 1499])
    others = index.search([POOL[row] for row in rows], own_rows=rows)
    assert (others.rows[:, 0] != rows).all()
    assert (others.rows >= 0).all()
    assert (others.similarity < 0.99).all()


def test_the_same_texts_give_the_same_matches(index: FuzzyIndex) -> None:
    again = FuzzyIndex.build(list(POOL), Retrieval(index="IVFFlat" if "IVF" in type(index._index).__name__ else "Flat"))
    queries = sentences(300, 2)
    assert np.array_equal(index.search(queries).rows, again.search(queries).rows)
    assert np.array_equal(index.search(queries).similarity, again.search(queries).similarity)


def test_matches_do_not_depend_on_what_else_is_asked(index: FuzzyIndex) -> None:
    queries = sentences(60, 3)
    together = index.search(queries).rows[:, 0].tolist()
    assert [index.search([query]).rows[0, 0] for query in queries] == together


def test_matches_that_are_too_similar_are_passed_over() -> None:
    texts = ["Delete the selected file.", "Delete the selected file", "Delete the selected files.", "Send a letter."]
    index = FuzzyIndex.build(texts, Retrieval(max_similarity=0.5))
    assert index.search(texts[:1]).rows.tolist() == [[3]]


def test_far_more_duplicates_than_are_first_looked_at_are_passed_over() -> None:
    texts = ["Delete the selected file."] * 400 + ["Delete the selected file of this user."]
    index = FuzzyIndex.build(texts, Retrieval(max_similarity=0.95))
    assert index.search(texts[:1]).rows.tolist() == [[400]]


def test_of_equal_matches_the_first_is_taken() -> None:
    index = FuzzyIndex.build(["Other.", *["Delete the file."] * 50], Retrieval())
    assert index.search(["Delete the file."]).rows.tolist() == [[1]]
    assert index.search(["Delete the file."], own_rows=np.array([1])).rows.tolist() == [[2]]


def test_no_other_row_is_no_match() -> None:
    matches = FuzzyIndex.build(["Only one."], Retrieval()).search(["Only one."], own_rows=np.array([0]))
    assert matches.rows.tolist() == [[-1]]
    assert matches.similarity.tolist() == [[0.0]]


def test_nothing_to_index_is_refused() -> None:
    with pytest.raises(BadData, match="no training texts"):
        FuzzyIndex.build([], Retrieval())


@pytest.mark.parametrize(
    ("uri", "reason"),
    [("file:///nowhere/encoder", "ModelNotFound"), ("nowhere", "ModelNotFound"), ("hf://a/b", "NotSupported")],
)
def test_an_encoder_that_is_not_there_is_refused_with_its_field(uri: str, reason: str) -> None:
    with pytest.raises(BadConfiguration, match=r"spec\.adapt\.prompts\.retrieval\.encoder\.uri") as caught:
        FuzzyIndex.build(POOL[:10], Retrieval(encoder=UriReference(uri=uri)))
    assert caught.value.reason == reason


def test_an_encoder_folder_with_a_broken_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BadConfiguration, match="cannot be loaded as an encoder"):
        FuzzyIndex.build(POOL[:10], Retrieval(encoder=UriReference(uri=f"file://{tmp_path}")))


def test_several_matches_come_in_order_and_each_once(index: FuzzyIndex) -> None:
    rows = np.arange(0, 1500, 25)
    found = index.search([POOL[row] for row in rows], rows, 5)
    assert (np.diff(found.similarity, axis=1) <= 1e-3).all()
    assert all(len(set(some)) == 5 and row not in some for row, some in zip(rows, found.rows.tolist(), strict=True))
    assert found.rows[:, 0].tolist() == index.search([POOL[row] for row in rows], rows).rows[:, 0].tolist()


def test_fewer_allowed_rows_than_asked_for_are_followed_by_none() -> None:
    texts = ["Delete the selected file.", "Delete the selected file of this user.", "delete  the selected file."]
    found = FuzzyIndex.build(texts, Retrieval(max_similarity=0.95)).search(texts[:1], count=3)
    assert found.rows.tolist() == [[1, -1, -1]]
    assert found.similarity[0, 1:].tolist() == [0.0, 0.0]


def test_a_large_pool_is_not_compared_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_trainer.retrieval.index.FLAT_UP_TO", 100)
    assert "IVF" in type(FuzzyIndex.build(POOL[:101], Retrieval())._index).__name__
    assert "Flat" in type(FuzzyIndex.build(POOL[:100], Retrieval())._index).__name__


@given(st.lists(st.text(), min_size=1, max_size=20))
def test_any_text_has_a_vector_of_length_one_or_zero(texts: list[str]) -> None:
    encoder = NgramEncoder(64)
    encoder.fit(texts)
    norms = np.linalg.norm(encoder.encode(texts), axis=1)
    assert all(abs(norm - 1) < 1e-4 or norm == 0 for norm in norms)


def test_vectors_keep_the_order_of_similarity() -> None:
    encoder = NgramEncoder()
    encoder.fit(POOL)
    text, near, far = encoder.encode(["Open the settings page", "open the settings pages", "Send an invoice"])
    assert text @ near > 0.7
    assert abs(text @ far) < 0.15


def test_rare_words_weigh_more_than_common_ones() -> None:
    texts = [f"The {word} is here." for word in WORDS]
    encoder = NgramEncoder()
    encoder.fit(texts)
    query, common, rare = encoder.encode(["The xylophone is here.", "The table is here.", "My xylophone, gone!"])
    assert query @ rare > query @ common
