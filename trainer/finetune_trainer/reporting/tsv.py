"""The segments of a task, one a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune_api.report import PromptExample

TSV_COLUMNS = ("source", "reference", "hypothesis", "baseline")
"""The first ones; those of contexts, where there are any, of rivals, by their names, and of examples in prompts
follow."""
CONTEXT = "context"


def example_columns(examples: Sequence[Sequence[PromptExample]]) -> dict[str, list[str]]:
    """Columns `example.1.source`, `example.1.target` and `example.1.similarity` of the most similar example, and so on.

    Fields are empty where a segment has fewer; random examples have no similarity.
    """
    columns: dict[str, list[str]] = {}
    for place in range(max(map(len, examples), default=0)):
        there = [some[place] if place < len(some) else None for some in examples]
        columns[f"example.{place + 1}.source"] = ["" if pair is None else pair.source for pair in there]
        columns[f"example.{place + 1}.target"] = ["" if pair is None else pair.target for pair in there]
        if any(pair is not None and pair.similarity is not None for pair in there):
            columns[f"example.{place + 1}.similarity"] = [
                "" if pair is None or pair.similarity is None else f"{pair.similarity:.4f}" for pair in there
            ]
    return columns


def write_tsv(path: Path, columns: Mapping[str, Sequence[str]]) -> None:
    """Write the segments, one a line, without quoting: a field never holds a tab or a line break.

    `cut -f 3 FILE | tail -n +2` gives the hypotheses as sacrebleu reads them.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(columns) + "\n")
        file.writelines("\t".join(row) + "\n" for row in zip(*columns.values(), strict=True))
