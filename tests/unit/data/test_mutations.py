"""Broken files of every format: rows, or a refusal that names the file; never an error of the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_trainer.data.rows import Row
from finetune_trainer.data.sources import read_source
from mutated import PAIRS, Corpus, corpora, read_mutations


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Corpus]]:
    folder = tmp_path_factory.mktemp("mutated")
    return folder, corpora(folder)


NAMES = [
    "tsv", "tsv, header", "csv", "jsonl", "text", "moses", "parquet", "parquet, snappy", "tmx", "tmx, gb18030",
    "po", "mo", "wheel", "tar", "tar.gz", "huggingface", "huggingface, state", "huggingface, info",
    "tsv.gz", "tsv.xz", "tsv.bz2", "tsv.zst",
]  # fmt: skip


def test_all_are_tried(made: tuple[Path, dict[str, Corpus]]) -> None:
    assert list(made[1]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_no_broken_file_is_an_error_of_the_trainer(name: str, made: tuple[Path, dict[str, Corpus]]) -> None:
    folder, every = made
    (folder / every[name].name).write_bytes(every[name].content)
    assert len([row for row in read_source(every[name].source(folder)) if isinstance(row, Row)]) == len(PAIRS)
    counts = read_mutations(name, every[name], folder)
    assert counts.crashes == []
    assert counts.tried == counts.rows + counts.refused > 200
