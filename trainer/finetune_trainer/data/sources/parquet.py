"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from finetune_api.data import DataSource
from finetune_trainer.data.arrow_rows import records_of_batch
from finetune_trainer.data.compression import BROKEN_FILE, COMPRESSIONS, files_ending, open_bytes
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import domain_name, field_names, require_names, row_of_record
from finetune_trainer.errors import BadData

BATCH_ROWS = 4096


def read_parquet(source: DataSource) -> Iterator[Row | Malformed]:
    """One file, or a folder of *.parquet, batch by batch.

    Raises:
        BadData: if a file is not whole.
        BadConfiguration: if a column is missing.
    """
    (path,) = source_files(source)
    for file in files_ending(path, ".parquet"):
        number = 0
        try:
            table = pq.ParquetFile(_whole(file))
            for batch in table.iter_batches(BATCH_ROWS, columns=_columns(source, file, table.schema_arrow)):
                for number, record in records_of_batch(batch, str(file), number):  # noqa: B020 - goes on counting
                    yield record if isinstance(record, Malformed) else row_of_record(source, record, str(file), number)
        # Footers are trusted by nobody: a wrong number in one can be any of these.
        except (pa.ArrowException, *BROKEN_FILE, ValueError, KeyError, OverflowError, MemoryError) as error:
            raise BadData(
                "SourceNotReadable",
                f"source '{source.name}': {file} is not whole Parquet after {number:,} rows: "
                f"{(str(error) or 'no reason').partition(chr(10))[0]}",
                "Replace the file by a whole one.",
            ) from None


def _whole(file: Path) -> Path | pa.BufferReader:
    """The file, or its content where it is compressed as a whole: Parquet is read from its end."""
    if file.suffix.lower() not in COMPRESSIONS:
        open_bytes(file).close()  # tells what it is, if it is something else
        return file
    with open_bytes(file) as opened:
        return pa.BufferReader(opened.read())


def _columns(source: DataSource, file: Path, schema: pa.Schema) -> list[str]:
    """Those that hold the languages, or the struct `translation` that does."""
    names, domain = list(field_names(source, schema.names)), domain_name(source)
    if not set(names) <= set(schema.names) and "translation" in schema.names:
        names = ["translation"]
    names += [] if domain is None else [domain]
    require_names(source, str(file), names, schema.names)
    return names
