"""Columns that say what a row is about."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finetune_api.data import DataSource
from finetune_trainer.data.rows import Malformed
from finetune_trainer.data.sources import read_source
from finetune_trainer.errors import BadConfiguration
from unit.data.test_sources import PAIRS, source

ABOUT = {"domain": "topic"}


def tabled(folder: Path) -> dict[str, DataSource]:
    """The same two pairs with a column of topics, in every format that has columns."""
    rows = [
        dict(zip(("en", "es", "topic"), (*pair, topic), strict=True)) for pair, topic in zip(PAIRS, "ab", strict=True)
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, folder / "flat.parquet")
    nested = [{"translation": {"en": row["en"], "es": row["es"]}, "topic": row["topic"]} for row in rows]
    pq.write_table(pa.Table.from_pylist(nested), folder / "nested.parquet")
    lines = {
        "ui.tsv": ["\t".join(row) for row in ([*rows[0]], *([*row.values()] for row in rows))],
        "ui.csv": [",".join(row) for row in ([*rows[0]], *([*row.values()] for row in rows))],
        "flat.jsonl": [json.dumps(row) for row in rows],
        "nested.jsonl": [json.dumps(row) for row in nested],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content), encoding="utf-8")
    names = [*lines, "flat.parquet", "nested.parquet"]
    return {name: source(folder / name, columns=ABOUT) for name in names}


def test_a_column_says_what_rows_are_about(tmp_path: Path) -> None:
    for name, data in tabled(tmp_path).items():
        found = [(row.texts, row.domain) for row in read_source(data) if not isinstance(row, Malformed)]
        assert found == list(zip(PAIRS, "ab", strict=True)), name
        missing = source(tmp_path / name, columns={"domain": "field"})
        if name.endswith(".jsonl"):
            assert all(
                isinstance(row, Malformed) and "has no key 'field'" in row.reason for row in read_source(missing)
            )
        else:
            with pytest.raises(BadConfiguration, match="has no column field; it has"):
                list(read_source(missing))


def test_a_record_may_be_about_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ui.jsonl"
    path.write_text('{"en": "a", "es": "b", "topic": null}\n{"en": "a", "es": "b", "topic": 7}\n', encoding="utf-8")
    nothing, number = read_source(source(path, columns=ABOUT))
    assert not isinstance(nothing, Malformed)
    assert nothing.domain == ""
    assert isinstance(number, Malformed)
    assert number.reason == "has no text in key 'topic'"


def test_columns_of_a_format_without_any_are_refused(tmp_path: Path) -> None:
    for language in ("en", "es"):
        (tmp_path / f"ui.{language}").write_text("a\n", encoding="utf-8")
    with pytest.raises(BadConfiguration, match="columns are given, but format moses has none"):
        list(read_source(source(tmp_path / "ui.{lang}", columns=ABOUT)))
