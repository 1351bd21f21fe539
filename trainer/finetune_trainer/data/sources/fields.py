"""Which column or key of a record holds which language."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from finetune_api.data import DataSource
from finetune_api.languages import canonical_language, matching_codes
from finetune_trainer.data.labelled import column_names
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.stored import STORED
from finetune_trainer.errors import BadConfiguration

MAX_NAMES = 20
"""Names in a message."""


def field_names(source: DataSource, present: Collection[str]) -> tuple[str, ...]:
    """Name of the column or key of each language: as given, else the language code, else `text`.

    Of Labelled sources they are those of texts and labels. A column that is named by another code of the language, as
    `en` for `eng_Latn`, is taken where none has its own.
    """
    if source.type == "Labelled":
        return column_names(source)
    columns = source.columns
    if source.type != "Parallel":
        return ((columns.text if columns else None) or "text",)
    given = columns.languages if columns else {}
    return tuple(_field_name(language, given, present) for language in source.languages)


def _field_name(language: str, given: Mapping[str, str], present: Collection[str]) -> str:
    if named := matching_codes(language, given):
        return given[named[0]]
    if language in present:
        return language
    meant = canonical_language(language)
    return next((name for name in present if canonical_language(name) == meant), language)


def domain_name(source: DataSource) -> str | None:
    """Name of the column or key that says what a row is about; None if nobody asks for it."""
    return source.columns.domain if source.columns else None


def require_columns(source: DataSource, file: str, present: Collection[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        BadConfiguration: naming the columns there are.
    """
    domain = domain_name(source)
    require_names(source, file, [*field_names(source, present), *([] if domain is None else [domain])], present)


def require_names(source: DataSource, file: str, names: Collection[str], present: Collection[str]) -> None:
    """As `require_columns`, for these columns."""
    missing = [name for name in names if name not in present]
    if missing:
        raise BadConfiguration(
            "ColumnNotFound",
            f"source '{source.name}': {file} has no column {', '.join(missing)}; it has {', '.join(present)}",
            "Say in columns which column holds what.",
        )


def row_of_record(source: DataSource, record: Mapping[str, Any], file: str, line: int) -> Row | Malformed:
    """The row in a record; `translation: {en: …, es: …}`, as in many hub data sets, is looked into."""
    if source.type in STORED:
        return STORED[source.type].of_record(source, record, file, line)
    nested = record.get("translation")
    values = nested if isinstance(nested, Mapping) else record
    found = [_text(values, name, file, line) for name in field_names(source, values)]
    about = _domain(source, record, file, line)
    texts = []
    for text in found:
        if isinstance(text, Malformed):
            return text
        texts.append(text)
    return about if isinstance(about, Malformed) else Row(tuple(texts), file, line, about)


def _domain(source: DataSource, record: Mapping[str, Any], file: str, line: int) -> str | Malformed:
    """What a record is about; empty where nobody asks, or where the record says null."""
    name = domain_name(source)
    if name is None or (name in record and record[name] is None):
        return ""
    return _text(record, name, file, line)


def _text(record: Mapping[str, Any], name: str, file: str, line: int) -> str | Malformed:
    value = record.get(name)
    if isinstance(value, str):
        return value
    if name in record:
        return Malformed(file, line, f"has no text in key '{name}'")
    there = ", ".join(sorted(map(str, record))[:MAX_NAMES]) or "none"
    return Malformed(file, line, f"has no key '{name}'; its keys: {there}")


def without_half_characters(row: Row | Malformed) -> Row | Malformed:
    """A row that can be written: JSON's escapes can name half a surrogate pair."""
    if isinstance(row, Row) and not all(map(_is_text, (*row.texts, row.domain))):
        return Malformed(row.file, row.line, "has half a character: a \\ud800 to \\udfff without its partner")
    return row


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def language_not_found(source: DataSource, what: str, present: Collection[str]) -> BadConfiguration:
    """The source has rows, but none in the languages asked for; `what` completes "source 'x': "."""
    there = sorted(present)
    shown = ", ".join(there[:MAX_NAMES]) + (f" and {len(there) - MAX_NAMES} more" if len(there) > MAX_NAMES else "")
    return BadConfiguration(
        "LanguageNotFound",
        f"source '{source.name}': {what}; it has {shown or 'none'}",
        "Correct languages, or the uri.",
    )
