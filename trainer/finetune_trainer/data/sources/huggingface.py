"""Hugging Face data sets: saved on disk, or by name on the hub."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from finetune_api.data import DataSource
from finetune_trainer.data.locate import source_path
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import row_of_record
from finetune_trainer.errors import BadConfiguration, BadData

DEFAULT_SPLIT = "train"


def read_huggingface(source: DataSource) -> Iterator[Row | Malformed]:
    """`hf://owner/name`, or a folder written by `save_to_disk`.

    Raises:
        BadData: if it cannot be had or has no such split.
    """
    import datasets

    split = source.split or DEFAULT_SPLIT
    try:
        if source.uri.startswith("hf://"):
            name = source.uri.removeprefix("hf://")
            rows = datasets.load_dataset(name, source.subset, split=split, streaming=True)
        else:
            saved = datasets.load_from_disk(str(source_path(source)))
            rows = _split_of(saved, split, source) if isinstance(saved, datasets.DatasetDict) else saved
        # Records are fetched, and files opened, only as they are asked for.
        for number, record in enumerate(rows, 1):
            yield row_of_record(source, record, source.uri, number)
    except (OSError, ValueError, pa.ArrowException, datasets.exceptions.DatasetsError) as error:
        raise BadData(
            "SourceNotFound",
            f"source '{source.name}': {source.uri} cannot be had: {(str(error).splitlines() or ['no reason'])[0]}",
            "Check the name and the network, or save the data set with save_to_disk and give its folder.",
        ) from None


def _split_of(saved: dict[str, list[dict[str, object]]], split: str, source: DataSource) -> list[dict[str, object]]:
    if split not in saved:
        raise BadConfiguration(
            "SplitNotFound",
            f"source '{source.name}': {source.uri} has no split {split}; it has {', '.join(saved)}",
            "Say in split which one.",
        )
    return saved[split]
