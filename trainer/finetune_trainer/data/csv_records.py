"""Records of comma-separated values; an unclosed quote costs its own line, not the rest of the file."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator

from finetune_trainer.data.rows import Malformed

Line = tuple[int, str | Malformed]
UNCLOSED = "has a quote that is not closed"


def csv_records(lines: Iterable[Line], file: str) -> Iterator[tuple[int, list[str]] | Malformed]:
    """Number of the first line, and cells, of each record by RFC 4180; blank lines are none.

    The first record says how many cells there are. Where a record of several lines is wrong, a quote was opened and
    closed too late or never: that line is malformed, and the lines after it are read again.
    """
    source = iter(lines)
    waiting: deque[Line] = deque()
    width = 0
    while taken := _take(source, waiting):
        number, line = taken
        if isinstance(line, Malformed):
            yield line
            continue
        if not line.strip():
            continue
        record, cells, problem = _record(number, line, source, waiting)
        if problem is None and width and len(cells) != width:
            problem = UNCLOSED if len(record) > 1 else f"has {columns(len(cells))}, {width} were expected"
        broken = next((text for _, text in record if isinstance(text, Malformed)), None)
        if problem is not None:
            bad = _opening_line(record)
            waiting.extendleft(reversed([line for line in record if line[0] > bad]))
            yield Malformed(file, bad, problem)
        elif broken is not None:
            yield broken
        else:
            width = width or len(cells)
            yield number, cells


def columns(count: int) -> str:
    """`1 column`, `2 columns`."""
    return f"{count} column{'' if count == 1 else 's'}"


def _take(source: Iterator[Line], waiting: deque[Line]) -> Line | None:
    return waiting.popleft() if waiting else next(source, None)


def _record(
    number: int, line: str, source: Iterator[Line], waiting: deque[Line]
) -> tuple[list[Line], list[str], str | None]:
    """Lines and cells of the record that begins with `line`, and what is wrong with it."""
    record: list[Line] = [(number, line)]

    def feed() -> Iterator[str]:
        yield f"{line}\n"
        while following := _take(source, waiting):
            record.append(following)
            yield f"{_text(following)}\n"

    try:
        return record, next(csv.reader(feed(), strict=True)), None
    except csv.Error as error:
        unclosed = len(record) > 1 or "unexpected end" in str(error)
        return record, [], UNCLOSED if unclosed else f"is not CSV: {error}"


def _text(line: Line) -> str:
    """Empty where it cannot be read: the record that it stands in is malformed, and ends where it ends."""
    return line[1] if isinstance(line[1], str) else ""


def _opening_line(record: list[Line]) -> int:
    """Number of the line in which the last quoted cell of a record begins."""
    opened, state = record[0][0], "start"
    for line in record:
        for character in f"{_text(line)}\n":
            if character == '"' and state == "start":
                opened, state = line[0], "quoted"
            elif character == '"' and state in ("quoted", "closed"):  # two in a row are one within the cell
                state = "closed" if state == "quoted" else "quoted"
            elif character in ",\n" and state != "quoted":
                state = "start"
            elif state != "quoted":
                state = "plain"
    return opened
