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
from finetune_trainer.errors import BadConfiguration

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


PAIRS_ONLY: frozenset[SourceFormat] = frozenset({"moses", "gettext"})
TEXTS_ONLY: frozenset[SourceFormat] = frozenset({"text"})


def read_source(source: DataSource) -> Iterator[Row | Malformed]:
    """All rows of a source, at most `maxRows`.

    Raises:
        BadData: if a file is missing or broken.
        BadConfiguration: if the source's settings do not fit its content.
    """
    format_ = format_of(source)
    _require_fit(source, format_)
    rows = READERS[format_](source)
    for number, row in enumerate(rows, 1):
        yield row
        if number == source.max_rows:
            return


def _require_fit(source: DataSource, format_: SourceFormat) -> None:
    """Refuse a format that cannot hold what the source's type needs."""
    if (format_ in PAIRS_ONLY and source.type != "Parallel") or (format_ in TEXTS_ONLY and source.type == "Parallel"):
        holds, wanted = ("texts", "Text") if format_ in TEXTS_ONLY else ("pairs", "Parallel")
        raise BadConfiguration(
            "FormatDoesNotFit",
            f"source '{source.name}': format {format_} holds {holds}, but type is {source.type}",
            f"Give type: {wanted} with its language(s), or another format.",
        )
    if format_ != "moses" and "{lang}" in source.uri:
        raise BadConfiguration(
            "FormatDoesNotFit",
            f"source '{source.name}': {{lang}} in the uri stands for the two files of a moses pair, "
            f"but format is {format_}",
            "Give format: moses, or name one file.",
        )
