"""Clean rows of a source, one after the other; what is dropped is counted by rule."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.clean import LENGTH_RATIO, clean_pieces, clean_sides, held_out_rules
from finetune_trainer.data.compression import without_compression
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.locate import format_of
from finetune_trainer.data.ratios import SAMPLE_PAIRS, breaks_ratio, usual_ratio
from finetune_trainer.data.rows import RULES, Malformed, Row
from finetune_trainer.data.sources import read_source
from finetune_trainer.data.stored import STORED, StoredRows
from finetune_trainer.data.tally import Tally
from finetune_trainer.errors import BadConfiguration, BadData

LINE_FORMATS: frozenset[str] = frozenset({"tsv", "csv", "jsonl", "moses", "text"})

LOOK_ON = 100_000
"""Rows after a malformed one in which others are looked for: a long file is not read for an hour to fail in the end."""
MAX_OTHERS = 3
"""Malformed rows that a message names beside the first."""
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
        if text in RULES:
            tally.drop(text, _place(row), row.texts)
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
    rows = _with_names_of_their_own(source, read_source(source))
    for row in rows:
        tally.read += 1
        if not isinstance(row, Malformed):
            yield tally.read, row
        elif rules.on_malformed == "Drop":
            tally.drop("malformed", _place(row), (row.reason,))
        else:
            raise _malformed(source, row, _others(rows))


def _with_names_of_their_own(source: DataSource, rows: Iterator[Row | Malformed]) -> Iterator[Row | Malformed]:
    """Rows, of which one is Malformed that has the name of one before it."""
    identifier = STORED[source.type].identifier if source.type in STORED else None
    if identifier is None:
        yield from rows
        return
    seen: dict[str, str] = {}
    for row in rows:
        name = "" if isinstance(row, Malformed) else identifier(row.texts[0])
        if isinstance(row, Row) and name in seen:
            yield Malformed(row.file, row.line, f"has the id {json.dumps(name)} again: {seen[name]} has it")
        else:
            seen[name] = _place(row)
            yield row


def _place(row: Row | Malformed) -> str:
    return f"{row.file}:{row.line}"


def _others(rows: Iterator[Row | Malformed]) -> list[Malformed]:
    """Malformed rows among the next ones; a file that breaks off there has been told enough of."""
    found: list[Malformed] = []
    with suppress(BadConfiguration, BadData):
        found.extend(row for row in islice(rows, LOOK_ON) if isinstance(row, Malformed))
    return found


def _malformed(source: DataSource, row: Malformed, others: Sequence[Malformed]) -> BadData:
    named = "".join(f"; {_place(other)} {other.reason}" for other in others[:MAX_OTHERS])
    more = len(others) - MAX_OTHERS
    return BadData(
        "MalformedRow",
        f"source '{source.name}': {_place(row)} {row.reason}{named}{f'; and {more:,} more' if more > 0 else ''}",
        f"{_show_it(source, row)}Skip such rows: data.clean.onMalformed: Drop",
    )


def _show_it(source: DataSource, row: Malformed) -> str:
    """The command that prints the row, for formats that have lines."""
    is_catalog = without_compression(row.file).lower().endswith(".po") and Path(row.file).is_file()
    if not is_catalog and format_of(source) not in LINE_FORMATS:
        return ""
    file = shlex.quote(row.file)
    reader = SHOWN_BY.get(Path(row.file).suffix.lower())
    command = f"{reader} {file} | sed -n {row.line}p" if reader else f"sed -n {row.line}p {file}"
    return f"Show it: {command}     "
