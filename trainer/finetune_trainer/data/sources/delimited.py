"""Tab- and comma-separated values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finetune_api.data import DataSource
from finetune_trainer.data.csv_records import columns, csv_records
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import domain_name, field_names, require_columns, row_of_record
from finetune_trainer.data.stored import STORED
from finetune_trainer.errors import BadData


def read_tsv(source: DataSource) -> Iterator[Row | Malformed]:
    """One row a line, columns in the order of `languages`, or text and label; with `columns` given, below a header.

    Lines without a character are no rows.
    """
    (path,) = source_files(source)
    names, domain = field_names(source, ()), domain_name(source)
    width = len(names)
    positions = list(range(width))
    domain_position: int | None = None
    for number, line in read_lines(path):
        if isinstance(line, Malformed):
            _require_header(source, line, is_header=number == 1 and source.columns is not None)
            yield line
            continue
        cells = line.split("\t")
        if number == 1 and source.columns is not None:
            require_columns(source, str(path), cells)
            names = field_names(source, cells)
            positions = [cells.index(name) for name in names]
            domain_position = None if domain is None else cells.index(domain)
            width = len(cells)
        elif len(cells) != width and line:
            yield Malformed(str(path), number, f"has {columns(len(cells))}, {width} were expected")
        elif len(cells) == width:
            about = "" if domain_position is None else cells[domain_position]
            yield _row(source, names, [cells[p] for p in positions], (str(path), number), about)


def read_csv(source: DataSource) -> Iterator[Row | Malformed]:
    """Comma-separated values with a header, quoted by RFC 4180."""
    (path,) = source_files(source)
    header: list[str] | None = None
    names: tuple[str, ...] = ()
    domain = domain_name(source)
    for record in csv_records(read_lines(path), str(path)):
        if isinstance(record, Malformed):
            _require_header(source, record, is_header=header is None)
            yield record
            continue
        number, cells = record
        if header is None:
            require_columns(source, str(path), cells)
            header, names = cells, field_names(source, cells)
        else:
            named = dict(zip(header, cells, strict=True))
            about = "" if domain is None else named[domain]
            yield _row(source, names, [named[name] for name in names], (str(path), number), about)


def _row(
    source: DataSource, names: Sequence[str], cells: Sequence[str], place: tuple[str, int], domain: str
) -> Row | Malformed:
    if source.type in STORED:
        return row_of_record(source, dict(zip(names, cells, strict=True)), *place)
    return Row(tuple(cells), *place, domain)


def _require_header(source: DataSource, line: Malformed, *, is_header: bool) -> None:
    """Without its header no row of a table can be understood, so this one cannot be dropped."""
    if is_header:
        raise BadData(
            "MalformedRow",
            f"source '{source.name}': {line.file}:{line.line} {line.reason}, and it is the header",
            "Correct the first line of the file.",
        )
