"""Plain text, one line a row."""

from __future__ import annotations

from collections.abc import Iterator

from finetune_api.data import DataSource
from finetune_trainer.data.compression import files_ending
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row


def read_text(source: DataSource) -> Iterator[Row | Malformed]:
    """One file, or a folder of *.txt, each compressed or not."""
    (path,) = source_files(source)
    for file in files_ending(path, ".txt"):
        for number, line in read_lines(file):
            yield line if isinstance(line, Malformed) else Row((line,), str(file), number)
