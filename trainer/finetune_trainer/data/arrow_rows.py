"""Records of Arrow tables, row by row; a row whose bytes are no text is malformed, the others are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from finetune_trainer.data.rows import Malformed

Record = dict[str, Any]


def records_of_batch(batch: pa.RecordBatch, file: str, before: int) -> Iterator[tuple[int, Record | Malformed]]:
    """Number and content of each row of a batch; `before` rows came before it.

    Arrow looks at no byte or offset that it reads, and a wrong offset can end the process: they are checked here.
    """
    for number, record in enumerate(_records(batch), before + 1):
        yield number, Malformed(file, number, record) if isinstance(record, str) else record


def _records(batch: pa.RecordBatch) -> Iterator[Record | str]:
    """Records, or what is wrong with them."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        yield from (_record(batch.slice(row, 1)) for row in range(batch.num_rows))
    else:
        yield from batch.to_pylist()


def _record(row: pa.RecordBatch) -> Record | str:
    try:
        row.validate(full=True)
    except pa.ArrowInvalid as error:
        return "is not UTF-8" if "UTF8" in str(error) else "is damaged"
    (record,) = row.to_pylist()
    return dict(record)
