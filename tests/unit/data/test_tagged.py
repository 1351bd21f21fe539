"""CoNLL sources: sentences of tagged words, and what is wrong with a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.rows import Row
from finetune_trainer.data.sources import read_source
from finetune_trainer.data.tagged import TaggedSentence, clean_tagged, dumped, loaded, tags_of_types
from finetune_trainer.errors import BadConfiguration, BadData
from unit.data.test_prepare import prepare


def source(path: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "names", "type": "CoNLL", "languages": ["en"], "uri": f"file://{path}"} | changes


def read(path: Path, content: str) -> list[tuple[int, object]]:
    path.write_text(content, encoding="utf-8")
    rows = read_source(DataSource.from_json_object(source(path)))
    return [(row.line, loaded(row.texts[0]) if isinstance(row, Row) else row.reason) for row in rows]


def test_sentences_are_parted_by_empty_lines_and_documents_by_a_mark(tmp_path: Path) -> None:
    content = (
        "-DOCSTART- -X- O O\n\nMia NNP I B-PER\nsings VBZ I O\n\n\nRome NNP I B-LOC\n-DOCSTART- -X- O O\nYes UH I O\n"
    )
    assert read(tmp_path / "n.conll", content) == [
        (3, TaggedSentence(("Mia", "sings"), ("B-PER", "O"))),
        (7, TaggedSentence(("Rome",), ("B-LOC",))),
        (9, TaggedSentence(("Yes",), ("O",))),
    ]


def test_what_is_no_tagged_word_is_told_with_its_line(tmp_path: Path) -> None:
    content = "Mia\tB-PER\nsings\n\nOld I-LOC\nRome I-LOC\n\nIn O\nRome LOC\n\nFine O\n\nMia B-PER\nRossi I-LOC\n"
    assert read(tmp_path / "n.conll", content) == [
        (2, "has 1 column, 2 as above were expected"),
        (4, "has the tag I-LOC after the beginning: by IOB2 an entity begins with B-LOC"),
        (8, 'has the tag "LOC": O, or B- or I- with a type, was expected'),
        (10, TaggedSentence(("Fine",), ("O",))),
        (13, "has the tag I-LOC after B-PER: by IOB2 an entity begins with B-LOC"),
    ]
    assert read(tmp_path / "one.conll", "word\n") == [(1, "has 1 column, a word and its tag were expected")]


def test_words_are_normalised_and_none_is_dropped() -> None:
    sentence = TaggedSentence(("cafe\u0301", "\x00", "x\x01"), ("O", "O", "B-A"))
    assert loaded(clean_tagged(dumped(sentence), Clean())).words == ("caf\xe9", "\x00", "x")
    assert tags_of_types({"PER", "LOC"}) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def test_a_format_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.tsv").write_text("Mia\tB-PER\n")
    with pytest.raises(BadConfiguration, match="format tsv holds pairs, texts and texts with labels, but type is C"):
        list(read_source(DataSource.from_json_object(source(tmp_path / "n.tsv"))))


def test_types_of_entities_are_counted_and_unseen_ones_refused(tmp_path: Path) -> None:
    job = {"adapt": {"task": {"type": "TokenClassification", "source": "names"}},
           "evaluate": {"tasks": [{"name": "t", "type": "TokenClassification", "source": "bench",
                                   "metrics": ["EntityF1"]}]}}  # fmt: skip
    (tmp_path / "n.conll").write_text("".join(f"Mia B-PER\nhas O\n{n} O\n\n" for n in range(40)))
    (tmp_path / "b.conll").write_text("Rome B-LOC\n\nMia B-PER\nagain O\n")
    train, bench = source(tmp_path / "n.conll"), source(tmp_path / "b.conll", name="bench", role="Test")
    with pytest.raises(BadData, match=r"1 row of its test split has a label that .* 'names' has not: LOC \(.*:1\)"):
        prepare(tmp_path, train, bench, blocks=job)
    (tmp_path / "b.conll").write_text("Mia B-PER\nagain O\n")
    data, _, _ = prepare(tmp_path / "again", train, bench, blocks=job)
    assert data.labels("names") == ("PER",)
    assert data.index["sources"]["bench"]["labels"]["test"] == {"PER": 1}
