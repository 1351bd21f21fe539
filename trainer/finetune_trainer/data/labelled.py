"""Texts with labels, as rows of a Labelled source: read from records, cleaned, and kept as one text each.

A row is stored as canonical JSON of its text, its second text if it has one, and its labels in their order.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.clean import clean_text
from finetune_trainer.data.rows import EMPTY, Malformed, Row

TEXT, LABEL = "text", "label"
"""Default names of the columns."""
SEPARATOR = "|"
"""Between the labels of a text, in tables and in what models answer."""
_MAX_NAMES = 20


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text, and what it is."""

    text: str
    labels: tuple[str, ...]
    """In their order, without repetition; one, or any number where the source has sets of labels."""
    pair: str | None = None
    """A second text that belongs to it."""

    @property
    def answer(self) -> str:
        """The labels as one text."""
        return SEPARATOR.join(self.labels)


def dumped(row: LabelledText) -> str:
    """As it is stored."""
    pair = {} if row.pair is None else {"pair": row.pair}
    return json.dumps({"text": row.text, **pair, "labels": list(row.labels)}, ensure_ascii=False)


def loaded(text: str) -> LabelledText:
    """A row from what `dumped` wrote."""
    stored = json.loads(text)
    return LabelledText(stored["text"], tuple(stored["labels"]), stored.get("pair"))


def asked(text: str) -> str:
    """What a stored row asks: the same text belongs into the same split, whatever its labels."""
    row = loaded(text)
    return row.text if row.pair is None else f"{row.text}\n{row.pair}"


def contents(texts: Iterable[str]) -> Iterable[str]:
    """The texts of stored rows, without their labels."""
    return (part for row in map(loaded, texts) for part in (row.text, row.pair) if part is not None)


def labels_of(text: str) -> tuple[str, ...]:
    """The labels of a stored row."""
    return loaded(text).labels


def clean_labelled(text: str, rules: Clean) -> str:
    """A stored row with clean texts; or `empty`, the rule that drops it. Texts are not cut."""
    row = loaded(text)
    first = clean_text(row.text, rules)
    pair = None if row.pair is None else clean_text(row.pair, rules)
    if not first or pair == "":
        return EMPTY
    form = rules.normalise
    labels = row.labels if form == "None" else _set(unicodedata.normalize(form, label) for label in row.labels)
    return dumped(LabelledText(first, labels, pair))


def column_names(source: DataSource) -> tuple[str, ...]:
    """Columns or keys that a source must have: of the text, of the second text if it has one, of the labels."""
    columns = source.columns
    if columns is None:
        return (TEXT, LABEL)
    pair = () if columns.pair is None else (columns.pair,)
    return (columns.text or TEXT, *pair, columns.labels or columns.label or LABEL)


def row_of_labelled(source: DataSource, record: Mapping[str, Any], file: str, line: int) -> Row | Malformed:
    """The row in a record, as one text; Malformed where a text or a label is not as it should be."""
    text, *pair, label = column_names(source)
    try:
        texts = [_text(record, name) for name in (text, *pair)]
        labels = _labels(record, label) if source.has_label_sets else (_label(_value(record, label), label),)
    except _Broken as broken:
        return Malformed(file, line, str(broken))
    return Row((dumped(LabelledText(texts[0], labels, texts[1] if pair else None)),), file, line)


class _Broken(ValueError):
    """What is wrong with a record; completes "file:line "."""


def _value(record: Mapping[str, Any], name: str) -> Any:
    if name not in record:
        there = ", ".join(sorted(map(str, record))[:_MAX_NAMES]) or "none"
        raise _Broken(f"has no key '{name}'; its keys: {there}")
    return record[name]


def _text(record: Mapping[str, Any], name: str) -> str:
    value = _value(record, name)
    if not isinstance(value, str):
        raise _Broken(f"has no text in key '{name}'")
    return value


def _labels(record: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = _value(record, name)
    if isinstance(value, str):
        value = value.split(SEPARATOR) if value.strip() else []
    if not isinstance(value, list | tuple):
        raise _Broken(f"has no list of labels in key '{name}', nor a text with {SEPARATOR} between them")
    return _set(_label(each, name) for each in value)


def _label(value: Any, name: str) -> str:
    """A label as text: a number is the text of it."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise _Broken(f"has no label in key '{name}': a text or a whole number was expected")
    label = " ".join(str(value).split())
    if not label:
        raise _Broken(f"has an empty label in key '{name}'")
    if SEPARATOR in label:
        raise _Broken(
            f"has {SEPARATOR} in its label {json.dumps(label, ensure_ascii=False)}, which stands between labels: "
            "name the column in columns.labels if it holds several, else rename the label"
        )
    return label


def _set(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(labels)))
