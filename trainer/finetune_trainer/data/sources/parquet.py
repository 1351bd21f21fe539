"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator

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
        try:
            table = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise BadData(
                "SourceNotReadable", f"source '{source.name}': {file} is not Parquet: {str(error).splitlines()[0]}"
            ) from None
        names = table.schema_arrow.names
        columns = ["translation"] if "translation" in names else list(field_names(source))
        if columns != ["translation"]:
            require_columns(source, str(file), names)
        number = 0
        for batch in table.iter_batches(BATCH_ROWS, columns=columns):
            for record in batch.to_pylist():
                number += 1
                yield row_of_record(source, record, str(file), number)
