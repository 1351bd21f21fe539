"""Labelled sources: what is read as a text with labels, what is refused with its line, how labels are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.labelled import LabelledText, clean_labelled, dumped, loaded
from finetune_trainer.data.prepared import SPLITS
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources import read_source
from finetune_trainer.errors import BadConfiguration, BadData
from unit.data.test_prepare import prepare

SPELT, REST = '"x|y"', "name the column in columns.labels if it holds several, else rename the label"


def source(path: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "topics", "type": "Labelled", "languages": ["en"], "uri": f"file://{path}"} | changes


def read(path: Path, content: str, **changes: Any) -> list[LabelledText | str]:
    """The rows of a file: what they are, or `line: reason`."""
    path.write_text(content, encoding="utf-8")
    rows = read_source(DataSource.from_json_object(source(path, **changes)))
    return [loaded(row.texts[0]) if isinstance(row, Row) else f"{row.line}: {row.reason}" for row in rows]


def test_tables_and_json_give_the_same_rows(tmp_path: Path) -> None:
    expected = [LabelledText("Rain, again", ("weather",)), LabelledText("Two eggs", ("cooking",))]
    assert read(tmp_path / "t.csv", 'text,label\n"Rain, again",weather\nTwo eggs,cooking\n') == expected
    assert read(tmp_path / "t.tsv", "Rain, again\tweather\nTwo eggs\tcooking\n") == expected
    named = {"text": "body", "label": "topic"}
    assert read(tmp_path / "n.tsv", "id\ttopic\tbody\n1\tweather\tRain, again\n2\tcooking\tTwo eggs\n",
                columns=named) == expected  # fmt: skip
    lines = '{"body": "Rain, again", "topic": "weather"}\n{"topic": "cooking", "body": "Two eggs"}\n'
    assert read(tmp_path / "t.jsonl", lines, columns=named) == expected


def test_sets_pairs_and_numbers_are_labels_too(tmp_path: Path) -> None:
    sets = {"columns": {"labels": "tags"}}
    lines = '{"text": "a", "tags": ["z", "b", "z"]}\n{"text": "c", "tags": []}\n{"text": "d", "tags": "b|a"}\n'
    assert read(tmp_path / "s.jsonl", lines, **sets) == [
        LabelledText("a", ("b", "z")), LabelledText("c", ()), LabelledText("d", ("a", "b")),
    ]  # fmt: skip
    assert read(tmp_path / "s.csv", "text,tags\na,z|b\nc,\n", **sets)[1] == LabelledText("c", ())
    pair = {"columns": {"pair": "second"}}
    assert read(tmp_path / "p.jsonl", '{"text": "a", "second": "b", "label": 3}\n', **pair) == [
        LabelledText("a", ("3",), "b")
    ]


def test_what_is_no_labelled_row_is_told_with_its_line(tmp_path: Path) -> None:
    lines = [{"text": "a"}, {"text": 1, "label": "x"}, {"text": "a", "label": " "}, {"text": "a", "label": ["x"]},
             {"text": "a", "label": "x|y"}, {"text": "a", "label": True}]  # fmt: skip
    assert read(tmp_path / "t.jsonl", "".join(json.dumps(line) + "\n" for line in lines)) == [
        "1: has no key 'label'; its keys: text",
        "2: has no text in key 'text'",
        "3: has an empty label in key 'label'",
        "4: has no label in key 'label': a text or a whole number was expected",
        f"5: has | in its label {SPELT}, which stands between labels: {REST}",
        "6: has no label in key 'label': a text or a whole number was expected",
    ]
    assert read(tmp_path / "t.tsv", "a\tx\nb\nc\td\te\n")[1:] == [
        "2: has 1 column, 2 were expected", "3: has 3 columns, 2 were expected",
    ]  # fmt: skip
    with pytest.raises(BadConfiguration, match=r"t.csv has no column label; it has text, topic") as refused:
        read(tmp_path / "t.csv", "text,topic\na,x\n")
    assert refused.value.remedy == "Say in columns which column holds what."


def test_texts_are_cleaned_and_stay_whole() -> None:
    rules = Clean(max_words=2)
    row = dumped(LabelledText(" <b>Many</b>\u200b words\there ", ("cafe\u0301",), "so "))
    assert loaded(clean_labelled(row, rules)) == LabelledText("Many words here", ("caf\xe9",), "so")
    assert clean_labelled(dumped(LabelledText("<br>", ("x",))), rules) == "empty"
    assert isinstance(Malformed("f", 1, "r"), Malformed)


def rows(count: int, label: str, word: str = "word") -> list[dict[str, Any]]:
    return [{"text": f"{word} {label} {number}", "label": label} for number in range(count)]


def write(path: Path, content: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return path


JOB: dict[str, Any] = {
    "adapt": {"task": {"type": "Classification", "source": "topics"}},
    "evaluate": {"tasks": [{"name": "t", "type": "Classification", "source": "topics", "metrics": ["Accuracy"]}]},
}


def test_labels_of_each_split_are_kept_and_the_same_text_stays_in_one(tmp_path: Path) -> None:
    content = rows(60, "a") + rows(60, "b") + [{"text": "word a 1", "label": "b"}]
    data, summary, message = prepare(tmp_path, source(write(tmp_path / "t.jsonl", content)), blocks=JOB)
    assert data.labels("topics") == ("a", "b")
    assert not data.has_label_sets("topics")
    counts = data.index["sources"]["topics"]["labels"]
    assert sum(sum(split.values()) for split in counts.values()) == 121
    (report,) = data.report()["sources"]
    assert report["trainingLabels"] == counts["train"]
    assert report["trainingTokens"] == {}
    assert message == "121 rows kept of 121"
    asked = [{loaded(text).text for text in data.texts("topics", name, "en").text} for name in SPLITS]
    assert sum(map(len, asked)) == len(set().union(*asked)) == 120, "no text is in two splits"
    assert summary["rowsKept"] == 121


def test_a_label_that_training_has_not_is_refused_with_its_place(tmp_path: Path) -> None:
    train = source(write(tmp_path / "t.jsonl", rows(40, "a") + rows(40, "b")))
    bench = source(write(tmp_path / "bench.jsonl", rows(2, "a", "other") + rows(3, "c")), name="bench", role="Test")
    asked = JOB | {"evaluate": {"tasks": [JOB["evaluate"]["tasks"][0] | {"source": "bench"}]}}
    with pytest.raises(BadData, match=r"source 'bench': 3 rows of its test split have labels that the training split "
                       r"of 'topics' has not: c \(.*bench.jsonl:3\)"):  # fmt: skip
        prepare(tmp_path, train, bench, blocks=asked)


def test_a_single_label_teaches_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"its training split has the label a alone: there is nothing to tell apart"):
        prepare(tmp_path, source(write(tmp_path / "t.jsonl", rows(40, "a"))), blocks=JOB)
