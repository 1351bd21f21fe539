"""Clean rows of a source, one after the other; what is dropped is counted by rule."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.clean import LENGTH_RATIO, clean_pieces, clean_sides, held_out_rules
from finetune_trainer.data.compression import without_compression
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.locate import format_of
from finetune_trainer.data.ratios import SAMPLE_PAIRS, breaks_ratio, usual_ratio
from finetune_trainer.data.rows import EMPTY, Malformed, Row
from finetune_trainer.data.sources import read_source
from finetune_trainer.data.stored import STORED, StoredRows
from finetune_trainer.data.tally import Tally
from finetune_trainer.errors import BadData

LINE_FORMATS: frozenset[str] = frozenset({"tsv", "csv", "jsonl", "moses", "text"})

SHOWN_BY = {".gz": "zcat", ".xz": "xzcat", ".bz2": "bzcat", ".zst": "zstdcat"}
"""Commands that print what is compressed."""


class CleanRow(NamedTuple):
    """A clean pair, piece or stored row."""

    number: int
    """Of the row that it comes from, from 1."""
    texts: tuple[str, ...]
    domain: str = ""


def clean_rows(source: DataSource, rules: Clean, tally: Tally) -> Iterator[CleanRow]:
    """Clean pairs, pieces or stored rows of a source.

    Raises:
        BadData: on a malformed row, unless `onMalformed: Drop`.
    """
    if source.type == "Parallel":
        yield from _clean_pairs(source, rules, tally)
        return
    if source.type in STORED:
        yield from _clean_stored(source, STORED[source.type], rules, tally)
        return
    for number, row in _read_rows(source, rules, tally):
        pieces = clean_pieces(row.texts[0], held_out_rules(rules) if source.role != "Train" else rules)
        if isinstance(pieces, str):
            tally.drop(pieces, _place(row), row.texts)
        else:
            yield from (CleanRow(number, (piece,)) for piece in pieces)


def _clean_stored(source: DataSource, kind: StoredRows, rules: Clean, tally: Tally) -> Iterator[CleanRow]:
    for number, row in _read_rows(source, rules, tally):
        text = kind.clean(row.texts[0], rules)
        if text == EMPTY:
            tally.drop(EMPTY, _place(row), row.texts)
            continue
        for label in () if kind.labels is None else kind.labels(text):
            tally.labels.setdefault(label, _place(row))
        yield CleanRow(number, (text,))


def _clean_pairs(source: DataSource, rules: Clean, tally: Tally) -> Iterator[CleanRow]:
    """The usual ratio of lengths is that of the first pairs, which wait until it is known."""
    if source.role != "Train":
        rules = held_out_rules(rules)
    pairs = _pairs_of_any_ratio(source, rules, tally)
    head = list(islice(pairs, SAMPLE_PAIRS))
    usual = usual_ratio([pair for _, _, pair in head], source.languages, rules.max_length_ratio)
    tally.usual_ratio = usual if source.role == "Train" else None
    for number, row, pair in chain(head, pairs):
        if breaks_ratio(pair, rules.max_length_ratio, usual):
            tally.drop(LENGTH_RATIO, _place(row), row.texts)
        else:
            yield CleanRow(number, pair, one_line(row.domain))


def _pairs_of_any_ratio(source: DataSource, rules: Clean, tally: Tally) -> Iterator[tuple[int, Row, tuple[str, ...]]]:
    for number, row in _read_rows(source, rules, tally):
        pair = clean_sides(row.texts, rules, any_length=source.role != "Train")
        if isinstance(pair, str):
            tally.drop(pair, _place(row), row.texts)
        else:
            yield number, row, pair


def _read_rows(source: DataSource, rules: Clean, tally: Tally) -> Iterator[tuple[int, Row]]:
    """Rows that can be read, with their number; those that cannot are counted, too."""
    for row in read_source(source):
        tally.read += 1
        if isinstance(row, Malformed):
            _count_malformed(source, rules, tally, row)
        else:
            yield tally.read, row


def _place(row: Row | Malformed) -> str:
    return f"{row.file}:{row.line}"


def _count_malformed(source: DataSource, rules: Clean, tally: Tally, row: Malformed) -> None:
    if rules.on_malformed == "Fail":
        raise BadData(
            "MalformedRow",
            f"source '{source.name}': {_place(row)} {row.reason}",
            f"{_show_it(source, row)}Skip such rows: data.clean.onMalformed: Drop",
        )
    tally.drop("malformed", _place(row), (row.reason,))


def _show_it(source: DataSource, row: Malformed) -> str:
    """The command that prints the row, for formats that have lines."""
    is_catalog = without_compression(row.file).lower().endswith(".po") and Path(row.file).is_file()
    if not is_catalog and format_of(source) not in LINE_FORMATS:
        return ""
    file = shlex.quote(row.file)
    reader = SHOWN_BY.get(Path(row.file).suffix.lower())
    command = f"{reader} {file} | sed -n {row.line}p" if reader else f"sed -n {row.line}p {file}"
    return f"Show it: {command}     "
