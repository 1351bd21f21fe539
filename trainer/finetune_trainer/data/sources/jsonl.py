"""JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator

from finetune_api.data import DataSource
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import row_of_record, without_half_characters


def read_jsonl(source: DataSource) -> Iterator[Row | Malformed]:
    """One object a line."""
    (path,) = source_files(source)
    for number, line in read_lines(path):
        if isinstance(line, Malformed):
            yield line
        elif line.strip():
            yield _row(source, line, str(path), number)


def _row(source: DataSource, line: str, file: str, number: int) -> Row | Malformed:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Malformed(file, number, f"is not JSON: {error}")
    if not isinstance(record, dict):
        return Malformed(file, number, "is not a JSON object")
    return without_half_characters(row_of_record(source, record, file, number))
