"""A source format: `source | target`, one pair a line."""

from __future__ import annotations

from collections.abc import Iterator

from finetune_api.data import DataSource
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row


def read_pipe(source: DataSource) -> Iterator[Row | Malformed]:
    """Rows of one file."""
    (path,) = source_files(source)
    for number, line in read_lines(path):
        yield line if isinstance(line, Malformed) else Row(tuple(line.split(" | ")), str(path), number)
