"""Which column or key of a record holds which language."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from finetune_api.data import DataSource
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.errors import BadConfiguration


def field_names(source: DataSource) -> tuple[str, ...]:
    """Name of the column or key of each language: as given, else the language code, else `text`."""
    columns = source.columns
    if source.type != "Parallel":
        return ((columns.text if columns else None) or "text",)
    given = columns.languages if columns else {}
    return tuple(given.get(language, language) for language in source.languages)


def require_columns(source: DataSource, file: str, present: Collection[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        BadConfiguration: naming the columns there are.
    """
    missing = [name for name in field_names(source) if name not in present]
    if missing:
        raise BadConfiguration(
            "ColumnNotFound",
            f"source '{source.name}': {file} has no column {', '.join(missing)}; it has {', '.join(present)}",
            "Say in columns which column holds which language.",
        )


def row_of_record(source: DataSource, record: Mapping[str, Any], file: str, line: int) -> Row | Malformed:
    """The row in a record; `translation: {en: …, es: …}`, as in many hub data sets, is looked into."""
    nested = record.get("translation")
    values = nested if isinstance(nested, Mapping) else record
    texts = []
    for name in field_names(source):
        value = values.get(name)
        if not isinstance(value, str):
            what = "no" if name not in values else "no text in"
            return Malformed(file, line, f"has {what} key '{name}'")
        texts.append(value)
    return Row(tuple(texts), file, line)
