"""Hugging Face data sets: saved on disk, or by name on the hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from finetune_api.data import DataSource
from finetune_trainer.data.arrow_rows import Record, records_of_batch
from finetune_trainer.data.locate import source_path
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import row_of_record
from finetune_trainer.errors import BadConfiguration, BadData

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

DEFAULT_SPLIT = "train"
BATCH_ROWS = 4096
# A saved data set is described by JSON files; a damaged one can lack anything.
BROKEN_FOLDER = (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, pa.ArrowException)


def read_huggingface(source: DataSource) -> Iterator[Row | Malformed]:
    """`hf://owner/name`, or a folder written by `save_to_disk`.

    Raises:
        BadData: if it cannot be had or has no such split.
    """
    import datasets

    records = _of_hub(source) if source.uri.startswith("hf://") else _on_disk(source)
    try:
        for number, record in records:
            yield record if isinstance(record, Malformed) else row_of_record(source, record, source.uri, number)
    except (*BROKEN_FOLDER, datasets.exceptions.DatasetsError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BadData(
            "SourceNotFound",
            f"source '{source.name}': {source.uri} cannot be had: {reason}",
            "Check the name and the network, or save the data set with save_to_disk and give its folder.",
        ) from None


def _of_hub(source: DataSource) -> Iterator[tuple[int, Record | Malformed]]:
    """Records are fetched only as they are asked for."""
    import datasets

    name, split = source.uri.removeprefix("hf://"), source.split or DEFAULT_SPLIT
    yield from enumerate(datasets.load_dataset(name, source.subset, split=split, streaming=True), 1)


def _on_disk(source: DataSource) -> Iterator[tuple[int, Record | Malformed]]:
    import datasets

    saved = datasets.load_from_disk(str(source_path(source)))
    rows = _split_of(saved, source) if isinstance(saved, datasets.DatasetDict) else saved
    number = 0
    for table in rows.with_format("arrow").iter(BATCH_ROWS):
        for batch in table.to_batches():
            yield from records_of_batch(batch, source.uri, number)
            number += batch.num_rows


def _split_of(saved: DatasetDict, source: DataSource) -> Dataset:
    split = source.split or DEFAULT_SPLIT
    if split not in saved:
        raise BadConfiguration(
            "SplitNotFound",
            f"source '{source.name}': {source.uri} has no split {split}; it has {', '.join(saved)}",
            "Say in split which one.",
        )
    return saved[split]
