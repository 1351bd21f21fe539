"""Steps of an adaptation, judged by the size of its corpus: what can be known without a tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finetune_api.adapt import Adapt
from finetune_api.data import DataSource, Split
from finetune_api.job import FineTuneJobSpec
from finetune_api.registries import SOURCE_FORMATS, TASKS
from finetune_api.steps import FEW_STEPS, expected_steps, few_steps
from finetune_cli.local_manifest import source_paths

BYTES_PER_TOKEN = 3
"""Of text in UTF-8, about: vocabularies trained on a language reach 4, others and small ones 2."""
_ROW_A_LINE = ("tsv", "csv", "jsonl", "text")
_ENDINGS = tuple(ending for name in _ROW_A_LINE for ending in SOURCE_FORMATS[name].endings)


@dataclass(frozen=True, slots=True)
class CorpusSize:
    """Of files that are not compressed and have a row a line."""

    rows: int
    size: int
    """Bytes."""


def corpus_size(source: DataSource) -> CorpusSize | None:
    """Rows and bytes of a source; None where they are not known without reading it as prepare does.

    `source.uri` is a `file://` URI of this machine; line-aligned pairs have as many rows as one of them has lines.
    """
    is_pair = "{lang}" in source.uri
    if not (
        source.format in _ROW_A_LINE or (source.format is None and source.uri.lower().endswith(_ENDINGS)) or is_pair
    ):
        return None
    paths = source_paths(source)
    if not paths or not all(
        path.is_file() and not path.name.endswith((".gz", ".bz2", ".xz", ".zst")) for path in paths
    ):
        return None
    return CorpusSize(min(map(_lines, paths)), sum(path.stat().st_size for path in paths))


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def step_notes(spec: FineTuneJobSpec) -> tuple[list[str], list[str]]:
    """Warnings, if an adaptation has few steps, and notes, if nobody can know yet.

    `spec` has its sequence lengths and absolute paths.
    """
    adapt = spec.adapt
    if adapt is None:
        return [], []
    source = next(source for source in spec.data.sources if source.name == adapt.task.source)
    corpus = corpus_size(source)
    if corpus is None or corpus.rows == 0:
        reason = f"source {source.name} is not a text file of this machine that has a row a line"
        return [], [f"adapt: how many steps it has is known after prepare: {reason}"]
    steps = _steps(adapt, spec.data.split, source, corpus)
    if steps >= FEW_STEPS:
        return [], []
    return [f"adapt, judged by the {corpus.rows:,} rows of source {source.name}: {few_steps(steps)}"], []


def _steps(adapt: Adapt, split: Split, source: DataSource, corpus: CorpusSize) -> int:
    """Each row is one example for each entry of `shots`; an example with a match is twice as long.

    What a head is trained on has no prompt, and shares no row.
    """
    if not TASKS[adapt.task.type].generates:
        batch = adapt.batch.model_copy(update={"packing": False})
        prompts = adapt.prompts.model_copy(update={"shots": [0]})
        adapt = adapt.model_copy(update={"batch": batch, "prompts": prompts})
    share = 1.0 - split.validation - split.test if source.role == "Train" else 1.0
    rows = min(share * min(corpus.rows, source.max_rows or corpus.rows), adapt.task.max_examples or corpus.rows)
    tokens = rows * (corpus.size / corpus.rows / BYTES_PER_TOKEN) * sum(1 + shots for shots in adapt.prompts.shots)
    examples = round(rows * len(adapt.prompts.shots))
    return expected_steps(adapt, min(round(tokens), examples * adapt.batch.tokens_per_row), examples)
