"""Tab- and comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from finetune_api.data import DataSource
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import field_names, require_columns
from finetune_trainer.errors import BadData


def read_tsv(source: DataSource) -> Iterator[Row | Malformed]:
    """One row a line, columns in the order of `languages`; with `columns` given, the first line is a header."""
    (path,) = source_files(source)
    width = len(source.languages)
    positions = list(range(width))
    for number, line in read_lines(path):
        if isinstance(line, Malformed):
            _require_header(source, line, is_header=number == 1 and source.columns is not None)
            yield line
            continue
        cells = line.split("\t")
        if number == 1 and source.columns is not None:
            require_columns(source, str(path), cells)
            positions = [cells.index(name) for name in field_names(source)]
            width = len(cells)
        elif len(cells) != width:
            yield Malformed(str(path), number, f"has {_columns(len(cells))}, {width} were expected")
        else:
            yield Row(tuple(cells[p] for p in positions), str(path), number)


def read_csv(source: DataSource) -> Iterator[Row | Malformed]:
    """Comma-separated values with a header, quoted by RFC 4180."""
    (path,) = source_files(source)
    bad: list[Malformed] = []
    last = 0
    header: list[str] | None = None

    def good_lines() -> Iterator[str]:
        nonlocal last
        for number, line in read_lines(path):
            last = number
            if isinstance(line, Malformed):
                _require_header(source, line, is_header=header is None)
                bad.append(line)
            else:
                yield f"{line}\n"

    reader = csv.reader(good_lines(), strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield Malformed(str(path), last, f"is not CSV: {error}")
            continue
        finally:
            yield from bad
            bad.clear()
        if header is None:
            require_columns(source, str(path), cells)
            header = cells
        elif len(cells) != len(header):
            yield Malformed(str(path), last, f"has {_columns(len(cells))}, {len(header)} were expected")
        else:
            record = dict(zip(header, cells, strict=True))
            yield Row(tuple(record[name] for name in field_names(source)), str(path), last)


def _require_header(source: DataSource, line: Malformed, *, is_header: bool) -> None:
    """Without its header no row of a table can be understood, so this one cannot be dropped."""
    if is_header:
        raise BadData(
            "MalformedRow",
            f"source '{source.name}': {line.file}:{line.line} {line.reason}, and it is the header",
            "Correct the first line of the file.",
        )


def _columns(count: int) -> str:
    return f"{count} column{'' if count == 1 else 's'}"
