"""One reader a format: a new one is one file and its row in `finetune_api.registries.SOURCE_FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from finetune_api.data import DataSource
from finetune_api.registries import SOURCE_FORMATS
from finetune_trainer.data.locate import format_of
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.registry import Registry

_HELD = {
    "Parallel": "pairs",
    "Text": "texts",
    "Instruction": "conversations",
    "QuestionAnswering": "questions",
    "Labelled": "texts with labels",
    "CoNLL": "tagged words",
}
Reader = Callable[[DataSource], Iterator[Row | Malformed]]

readers: Registry[Reader] = Registry(__name__, "format", SOURCE_FORMATS)


def read_source(source: DataSource) -> Iterator[Row | Malformed]:
    """All rows of a source, at most `maxRows`.

    Raises:
        BadData: if a file is missing or broken.
        BadConfiguration: if the source's settings do not fit its content.
    """
    format_ = format_of(source)
    _require_fit(source, format_)
    for number, row in enumerate(readers.find(format_)(source), 1):
        yield row
        if number == source.max_rows:
            return


def _require_fit(source: DataSource, format_: str) -> None:
    """Refuse a format that cannot hold what the source's type needs."""
    holds = SOURCE_FORMATS[format_].holds
    if source.type not in holds:
        *first, last = (_HELD[kind] for kind in holds)
        what = f"{', '.join(first)} and {last}" if first else last
        raise BadConfiguration(
            "FormatDoesNotFit",
            f"source '{source.name}': format {format_} holds {what}, but type is {source.type}",
            f"Give type: {' or '.join(holds)} with its language(s), or another format.",
        )
    if source.columns is not None and not SOURCE_FORMATS[format_].has_columns:
        raise BadConfiguration(
            "FormatDoesNotFit",
            f"source '{source.name}': columns are given, but format {format_} has none",
            "Remove columns.",
        )
    if format_ != "moses" and "{lang}" in source.uri:
        raise BadConfiguration(
            "FormatDoesNotFit",
            f"source '{source.name}': {{lang}} in the uri stands for the two files of a moses pair, "
            f"but format is {format_}",
            "Give format: moses, or name one file.",
        )
