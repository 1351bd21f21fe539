"""Tab- and comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from finetune_api.data import DataSource
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import field_names, require_columns


def read_tsv(source: DataSource) -> Iterator[Row | Malformed]:
    """One row a line, columns in the order of `languages`; with `columns` given, the first line is a header."""
    (path,) = source_files(source)
    width = len(source.languages)
    positions = list(range(width))
    for number, line in read_lines(path):
        if isinstance(line, Malformed):
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
    """Comma-separated values with a header, quoted as RFC 4180 says."""
    (path,) = source_files(source)
    numbers: list[int] = []
    bad: list[Malformed] = []

    def good_lines() -> Iterator[str]:
        for number, line in read_lines(path):
            numbers.append(number)
            if isinstance(line, Malformed):
                bad.append(line)
            else:
                yield f"{line}\n"

    reader = csv.reader(good_lines(), strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield Malformed(str(path), numbers[-1], f"is not CSV: {error}")
            continue
        finally:
            yield from bad
            bad.clear()
        if header is None:
            require_columns(source, str(path), cells)
            header = cells
        elif len(cells) != len(header):
            yield Malformed(str(path), numbers[-1], f"has {_columns(len(cells))}, {len(header)} were expected")
        else:
            record = dict(zip(header, cells, strict=True))
            yield Row(tuple(record[name] for name in field_names(source)), str(path), numbers[-1])


def _columns(count: int) -> str:
    return f"{count} column{'' if count == 1 else 's'}"
