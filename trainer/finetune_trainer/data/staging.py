"""The first pass: each source read and cleaned once, into an Arrow file; in memory only hashes remain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.batches import batches
from finetune_trainer.data.clean_rows import clean_rows
from finetune_trainer.data.prepared import DOMAIN
from finetune_trainer.data.sources.fields import domain_name
from finetune_trainer.data.stored import STORED
from finetune_trainer.data.tally import Tally
from finetune_trainer.errors import BadConfiguration, BadData, raise_together
from finetune_trainer.hashing import GOLDEN, Hashes, text_hash

BATCH_ROWS = 4096


@dataclass(slots=True)
class StagedSource:
    """A source after the first pass."""

    source: DataSource
    file: Path
    """Arrow stream: one string column per language, and one of domains where the source has them."""
    keys: Hashes
    """(rows,): of the whole row."""
    sides: Hashes
    """(rows, languages): of each side; of what a stored row asks, in place of the whole."""
    tally: Tally
    rows: NDArray[np.int64] | None = None
    """(pieces,): number of the row that each piece is of; None where rows are not cut."""
    numbers: NDArray[np.int64] | None = None
    """(rows,): number of each row within its source, from 1, where the source is tested on: what is written elsewhere
    about the rows of a test set is in their order."""

    @property
    def has_domains(self) -> bool:
        """Whether each row says what it is about."""
        return domain_name(self.source) is not None

    def count_rows(self, stays: NDArray[np.bool_]) -> int:
        """How many rows are left if these pieces stay."""
        return int(stays.sum()) if self.rows is None else len(np.unique(self.rows[stays]))


def stage_sources(
    sources: Sequence[DataSource], rules: Clean, folder: Path, on_rows: Callable[[int], None]
) -> list[StagedSource]:
    """The first pass over all sources; see `stage_source` for the arguments.

    Raises:
        BadConfiguration, BadData: with the problems of all sources at once.
    """
    staged: list[StagedSource] = []
    problems: list[BadConfiguration | BadData] = []
    rows = 0
    for number, source in enumerate(sources):

        def on_own_rows(count: int, before: int = rows) -> None:
            on_rows(before + count)

        try:
            staged.append(stage_source(source, rules, folder / f"{number}.arrow", on_own_rows))
            rows += staged[-1].tally.read
        except (BadConfiguration, BadData) as error:
            problems.append(error)
    raise_together(problems)
    return staged


def stage_source(source: DataSource, rules: Clean, file: Path, on_rows: Callable[[int], None]) -> StagedSource:
    """Read and clean one source.

    Args:
        source: what to read.
        rules: cleaning rules.
        file: where the clean rows go.
        on_rows: called now and then with the number of rows read so far.

    Raises:
        BadData: on a malformed row (unless `onMalformed: Drop`), and if nothing is left.
    """
    tally = Tally()
    is_cut = source.type == "Text"
    keys: list[Hashes] = []
    sides: list[Hashes] = []
    numbers: list[NDArray[np.int64]] = []
    has_domains = domain_name(source) is not None
    schema = pa.schema([(name, pa.string()) for name in (*source.languages, *([DOMAIN] if has_domains else []))])
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches(clean_rows(source, rules, tally), BATCH_ROWS):
            rows = [row.texts for row in batch]
            columns = list(zip(*rows, strict=True))
            columns += [tuple(row.domain for row in batch)] if has_domains else []
            writer.write_batch(pa.record_batch([pa.array(c, pa.string()) for c in columns], schema=schema))
            whole, apart = _hashes(source, rows)
            keys.append(whole)
            sides.append(apart)
            if is_cut or source.role == "Test":
                numbers.append(np.array([row.number for row in batch], np.int64))
            on_rows(tally.read)
    if not sides:
        _refuse_empty(source, tally)
    all_sides = np.concatenate(sides)
    found = np.concatenate(numbers) if numbers else None
    tally.pieces = len(all_sides) if is_cut else 0
    return StagedSource(
        source,
        file,
        np.concatenate(keys),
        all_sides,
        tally,
        rows=found if is_cut else None,
        numbers=found if source.role == "Test" else None,
    )


def read_staged(staged: StagedSource) -> Iterator[pa.RecordBatch]:
    """The clean rows again, batch by batch."""
    with pa.memory_map(str(staged.file)) as file, pa.ipc.open_stream(file) as reader:
        yield from reader


def _hashes(source: DataSource, rows: Sequence[tuple[str, ...]]) -> tuple[Hashes, Hashes]:
    """(rows,) of whole rows, which duplicates go by, and (rows, sides) of what splits and decontamination go by."""
    stored = STORED.get(source.type)
    if stored is None:
        sides = np.array([[text_hash(text) for text in row] for row in rows], np.uint64)
        return _row_keys(sides), sides
    keys = np.array([text_hash(stored.whole(text)) for (text,) in rows], np.uint64)
    return keys, np.array([[text_hash(stored.asked(text))] for (text,) in rows], np.uint64)


def _row_keys(sides: Hashes) -> Hashes:
    """Mixes the sides' hashes; their order counts."""
    keys = sides[:, 0].copy()
    for column in range(1, sides.shape[1]):
        keys = keys * GOLDEN ^ sides[:, column]
    return keys


def _refuse_empty(source: DataSource, tally: Tally) -> None:
    if tally.read == 0:
        raise BadData(
            "EmptySource",
            f"source '{source.name}': {source.uri} has no {' and '.join(source.languages)} rows",
            "Check uri, format, columns and languages.",
        )
    counts = ", ".join(f"{count:,} {rule}" for rule, count in tally.dropped.most_common())
    raise BadData(
        "NothingLeft",
        f"source '{source.name}': none of {tally.read:,} rows is left after cleaning ({counts})",
        "Loosen data.clean, or check that the columns are in the order of languages.",
    )
