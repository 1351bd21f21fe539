"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from finetune_api.data import DataSource
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import field_names, require_columns, row_of_record
from finetune_trainer.errors import BadData

BATCH_ROWS = 4096


def read_parquet(source: DataSource) -> Iterator[Row | Malformed]:
    """One file, or a folder of *.parquet, batch by batch."""
    (path,) = source_files(source)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    for file in files:
        number = 0
        try:
            table = pq.ParquetFile(file)
            for batch in table.iter_batches(BATCH_ROWS, columns=_columns(source, file, table.schema_arrow)):
                for record in batch.to_pylist():
                    number += 1
                    yield row_of_record(source, record, str(file), number)
        except (pa.ArrowException, OSError) as error:
            raise BadData(
                "SourceNotReadable",
                f"source '{source.name}': {file} is not whole Parquet after {number:,} rows: "
                f"{(str(error).splitlines() or ['no reason'])[0]}",
                "Replace the file by a whole one.",
            ) from None


def _columns(source: DataSource, file: Path, schema: pa.Schema) -> list[str]:
    """Those that hold the languages, or the struct `translation` that does."""
    names = list(field_names(source))
    if not set(names) <= set(schema.names) and "translation" in schema.names:
        return ["translation"]
    require_columns(source, str(file), schema.names)
    return names
