"""The segments of a task, one a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

TSV_COLUMNS = ("source", "reference", "hypothesis", "baseline")
"""The first ones; those of rivals follow, by their names."""


def write_tsv(path: Path, columns: Mapping[str, Sequence[str]]) -> None:
    """Write the segments, one a line, without quoting: a field never holds a tab or a line break.

    `cut -f 3 FILE | tail -n +2` gives the hypotheses as sacrebleu reads them.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(columns) + "\n")
        file.writelines("\t".join(row) + "\n" for row in zip(*columns.values(), strict=True))
