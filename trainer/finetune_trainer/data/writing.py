"""The second pass: the rows that stay, written by split, then encoded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from finetune_api.data import DataSource
from finetune_api.languages import canonical_language
from finetune_trainer.data.batches import batches
from finetune_trainer.data.columns import write_token_column
from finetune_trainer.data.prepared import DOMAIN, INDEX, NUMBER, REPORT, ROWS, SPLITS, PairSplit
from finetune_trainer.data.select import Assignment
from finetune_trainer.data.staging import StagedSource, read_staged
from finetune_trainer.data.stored import STORED
from finetune_trainer.data.tokenizers import TextsByLanguage
from finetune_trainer.data.words import count_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BATCH_TEXTS = 2048


def write_splits(staged: StagedSource, assignment: Assignment, folder: Path) -> dict[str, int]:
    """Write `<split>/rows.arrow` with the key and the texts of each row, and its number in a source that is tested on.

    Returns rows by split.
    """
    numbered = [] if staged.numbers is None else [(NUMBER, pa.int64())]
    texts = [(language, pa.string()) for language in staged.source.languages]
    domains = [(DOMAIN, pa.string())] if staged.has_domains else []
    schema = pa.schema([("key", pa.uint64()), *numbered, *texts, *domains])
    sizes: dict[str, int] = {}
    for number, split in enumerate(SPLITS):
        (folder / split).mkdir(parents=True)
        start = 0
        with (
            pa.OSFile(str(folder / split / ROWS), "wb") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            for batch in read_staged(staged):
                here = slice(start, start + batch.num_rows)
                stays = assignment[here] == number
                start += batch.num_rows
                if stays.any():
                    kept = batch.filter(pa.array(stays))
                    columns = [column[here][stays] for column in (staged.keys, staged.numbers) if column is not None]
                    writer.write_batch(pa.record_batch([*map(pa.array, columns), *kept.columns], schema=schema))
        sizes[split] = int((assignment == number).sum())
    return sizes


def encode_splits(
    folder: Path, source: DataSource, tokenizer: PreTrainedTokenizerFast, on_texts: Callable[[int], None]
) -> dict[str, int]:
    """Write the token columns of all splits of a source; returns training tokens by language.

    Stored rows have none: a task puts them together when they are trained on.
    """
    tokens: dict[str, int] = {}
    if source.type in STORED:
        return tokens
    for split in SPLITS:
        rows = PairSplit(folder / split)
        for language in source.languages:
            encoded = _encode(rows.text(language), tokenizer, on_texts)
            count = write_token_column(folder / split, language, encoded, len(tokenizer))
            if split == "train":
                tokens[language] = count
    return tokens


def _encode(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, on_texts: Callable[[int], None]
) -> Iterator[list[list[int]]]:
    """Encodings of a blank and each text; `</s>` within a corpus is text, not the end of it.

    On a copy of the tokenizer's core, over all cores and without the offsets that nobody reads: half the time.
    """
    core = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    core.no_truncation()
    core.no_padding()
    core.encode_special_tokens = True
    for indices in batches(range(len(texts)), BATCH_TEXTS):
        batch = texts[indices[0] : indices[-1] + 1]
        encodings = core.encode_batch_fast([f" {text}" for text in batch], add_special_tokens=False)
        yield [encoding.ids for encoding in encodings]
        on_texts(len(batch))


def words_by_language(folder: Path, source: DataSource) -> dict[str, int]:
    """Words of the training split by language, counted as the cleaning rules do."""
    return {
        language: int(np.sum([count_words(text) for text in _texts(folder, source, language)], dtype=np.int64))
        for language in source.languages
    }


def _texts(folder: Path, source: DataSource, language: str) -> Iterable[str]:
    """What is written in a language in the training split of a source; of stored rows what is said in them."""
    rows = PairSplit(folder / "train").text(language)
    return STORED[source.type].contents(rows) if source.type in STORED else rows


def training_texts(folder: Path, sources: Sequence[DataSource]) -> TextsByLanguage:
    """A reader of the training split of each language, over all sources that have it; `folder` is the artifact's.

    `eng_Latn` of one source and `en` of another are one language, under its canonical code.
    """
    columns: dict[str, list[tuple[DataSource, str]]] = {}
    for source in sources:
        for language in source.languages:
            columns.setdefault(canonical_language(language), []).append((source, language))

    def reader(of_language: list[tuple[DataSource, str]]) -> Iterable[str]:
        return chain.from_iterable(
            _texts(folder / "sources" / source.name, source, language) for source, language in of_language
        )

    return {language: partial(reader, of_language) for language, of_language in columns.items()}


def write_index(
    folder: Path,
    staged: Sequence[StagedSource],
    sizes: Mapping[str, Mapping[str, int]],
    tokenizer: PreTrainedTokenizerFast,
    labels: Mapping[str, Mapping[str, Mapping[str, int]]],
) -> None:
    """Write what `PreparedData` opens.

    Args:
        folder: of the artifact.
        staged: the sources.
        sizes: rows by source and split.
        tokenizer: of the data; an encoder's ends a text with its separator.
        labels: rows by source that has labels, split and label.
    """
    sources = {
        s.source.name: {"languages": s.source.languages, "splits": sizes[s.source.name], "rowsRead": s.tally.read}
        | (
            {"labels": labels[s.source.name], "hasLabelSets": s.source.has_label_sets}
            if s.source.name in labels
            else {}
        )
        for s in staged
    }
    eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    index = {
        "bosId": tokenizer.bos_token_id if tokenizer.bos_token_id is not None else eos,
        "eosId": eos,
        "padId": tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos,
        "vocabularySize": len(tokenizer),
        "sources": sources,
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the report on the sources."""
    (folder / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
