"""Rows read are rows kept and rows dropped by a rule: for every reader, every recovery, and texts in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_api.data import Clean, Data, DataSource
from finetune_trainer.data.report import sources_report, summary_figures
from finetune_trainer.data.select import select_rows
from finetune_trainer.data.sources import read_source
from finetune_trainer.data.staging import StagedSource, stage_sources
from finetune_trainer.data.writing import write_splits
from finetune_trainer.errors import BadConfiguration, BadData
from mutated import Corpus, corpora, mutations

DROP = Clean(on_malformed="Drop", max_words=8, min_words=2)


def prepared(folder: Path, *sources: DataSource, rules: Clean = DROP) -> tuple[list[StagedSource], dict[str, Any]]:
    """The report that the stage writes, without a tokenizer."""
    data = Data(sources=list(sources), clean=rules)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    staged = stage_sources(data.sources, data.clean, scratch, lambda _: None)
    sizes = {}
    out = folder / "out"
    for source, assignment in zip(staged, select_rows(staged, data), strict=True):
        target = out / str(len(list(out.glob("*")))) / "sources" / source.source.name
        sizes[source.source.name] = write_splits(source, assignment, target)
    tokens: dict[str, dict[str, int]] = {source.name: {} for source in data.sources}
    report = sources_report(staged, sizes, tokens, {}, target.parents[1], {})
    assert summary_figures(staged, sizes, 1)["rowsRead"] == sum(s["rowsRead"] for s in report["sources"])
    return staged, report


def check(report: dict[str, Any], read: int | None = None) -> None:
    for source in report["sources"]:
        assert source["rowsRead"] == source["rowsKept"] + sum(source["dropped"].values())
        assert read is None or source["rowsRead"] == read
        pieces = source.get("pieces", {"made": source["rowsKept"], "kept": source["rowsKept"], "dropped": {}})
        assert pieces["kept"] == sum(source["splits"].values())
        assert pieces["made"] == pieces["kept"] + sum(pieces["dropped"].values())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Corpus]]:
    folder = tmp_path_factory.mktemp("counts")
    return folder, corpora(folder)


@pytest.mark.parametrize("name", ["tsv", "csv", "jsonl", "text", "moses", "parquet", "tmx", "po", "mo", "tsv.zst"])
def test_counts_add_up_for_every_reader_of_whole_and_broken_files(
    name: str, made: tuple[Path, dict[str, Corpus]], tmp_path: Path
) -> None:
    folder, every = made
    corpus = every[name]
    told = 0
    for content in [corpus.content, *list(mutations(corpus.content, name))[:70]]:
        (folder / corpus.name).write_bytes(content)
        source = corpus.source(folder)
        try:
            rows = len(list(read_source(source)))
            _, report = prepared(tmp_path, source)
        except (BadData, BadConfiguration):
            continue
        check(report, rows)
        told += 1
    assert told > 1


TEXTS = st.lists(
    st.lists(st.sampled_from(["one", "two", "end.", "<br>", "猫。", ""]), max_size=40).map(" ".join), max_size=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(TEXTS)
def test_pieces_are_counted_apart_from_the_rows_that_they_are_of(tmp_path: Path, texts: list[str]) -> None:
    (tmp_path / "a.txt").write_text("\n".join([*texts, "always here"]), encoding="utf-8")
    source = DataSource(name="a", type="Text", languages=["en"], uri=f"file://{tmp_path}/a.txt")
    _, report = prepared(tmp_path, source)
    check(report, len(texts) + 1)


def test_a_row_is_dropped_by_the_rule_that_takes_its_last_piece(tmp_path: Path) -> None:
    sentences = [f"Sentence number {i} has words." for i in range(4)]
    lines = [" ".join(sentences[:2]), " ".join(sentences[1:3]), " ".join(sentences[:2]), "alone"]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    source = DataSource(name="a", type="Text", languages=["en"], uri=f"file://{tmp_path}/a.txt")
    _, report = prepared(tmp_path, source)
    check(report, 4)
    (counts,) = report["sources"]
    assert counts["dropped"] == {"duplicate": 1, "tooShort": 1}
    assert counts["pieces"] == {"made": 6, "kept": 3, "dropped": {"duplicate": 3}}


def test_lines_lost_to_an_unclosed_quote_are_counted(tmp_path: Path) -> None:
    lines = [f"row {i},fila {i}" for i in range(60)]
    lines[20] = f'"{lines[20]}'
    (tmp_path / "a.csv").write_text("\n".join(["en,es", *lines]) + "\n", encoding="utf-8")
    source = DataSource(name="a", type="Parallel", languages=["en", "es"], uri=f"file://{tmp_path}/a.csv")
    _, report = prepared(tmp_path, source)
    check(report, 60)
    assert report["sources"][0]["dropped"] == {"malformed": 1}
