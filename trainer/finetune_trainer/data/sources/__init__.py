"""One reader per format. A new format is one new file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from finetune_api.data import DataSource, SourceFormat
from finetune_trainer.data.locate import format_of
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.delimited import read_csv, read_tsv
from finetune_trainer.data.sources.gettext import read_gettext
from finetune_trainer.data.sources.huggingface import read_huggingface
from finetune_trainer.data.sources.jsonl import read_jsonl
from finetune_trainer.data.sources.moses import read_moses
from finetune_trainer.data.sources.parquet import read_parquet
from finetune_trainer.data.sources.text import read_text
from finetune_trainer.data.sources.tmx import read_tmx

Reader = Callable[[DataSource], Iterator[Row | Malformed]]

READERS: dict[SourceFormat, Reader] = {
    "tsv": read_tsv,
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "moses": read_moses,
    "text": read_text,
    "tmx": read_tmx,
    "gettext": read_gettext,
    "huggingface": read_huggingface,
}


def read_source(source: DataSource) -> Iterator[Row | Malformed]:
    """All rows of a source, at most `maxRows`.

    Raises:
        BadData: if a file is missing or broken.
        BadConfiguration: if the source's settings do not fit its content.
    """
    rows = READERS[format_of(source)](source)
    for number, row in enumerate(rows, 1):
        yield row
        if number == source.max_rows:
            return
