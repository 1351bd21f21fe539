"""Texts and words as a model with a head is given them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from transformers import PreTrainedTokenizerBase

from finetune_trainer.data.labelled import LabelledText
from finetune_trainer.objectives.padded import PaddedRow

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class EncodedWords:
    """A sentence of words."""

    row: PaddedRow
    firsts: list[int]
    """Place of the first token of each word, as far as there is room."""


@dataclass(frozen=True, slots=True)
class Encoded(Generic[Row]):
    """Rows, and how many of them are not whole."""

    rows: list[Row]
    shortened: int


def shortened_note(count: int, what: str) -> list[str]:
    """A note where not all rows are whole."""
    return [f"{count:,} {what} are longer than the model's context: their ends were left out."] if count else []


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[LabelledText], longest: int) -> Encoded[PaddedRow]:
    """Rows of at most `longest` tokens; of what is longer the end is left out, of two texts that of the longer one.

    An encoder's tokenizer puts its own tokens around one text or two. Of a causal model a text stands after the token
    that begins one and a blank, as in pre-training here, and a second text below it. A special token that a text spells
    stays text.
    """
    if tokenizer.cls_token_id is None:
        whole = [f" {text.text}" if text.pair is None else f" {text.text}\n{text.pair}" for text in texts]
        start, _ = _around(tokenizer)
        ids = [[*start, *found] for found in _plain(tokenizer, whole)]
        return Encoded([PaddedRow(np.array(row[:longest], np.int32)) for row in ids], _too_long(ids, longest))
    pairs = [text.pair for text in texts]
    given = [[text.text for text in texts], *([] if not texts or pairs[0] is None else [pairs])]
    if not texts:
        return Encoded([], 0)
    found = tokenizer(*given, truncation=True, max_length=longest, split_special_tokens=True, verbose=False)
    types = found.get("token_type_ids") or [None] * len(texts)
    rows = [
        PaddedRow(np.array(ids, np.int32), None if kind is None else np.array(kind, np.int32))
        for ids, kind in zip(found["input_ids"], types, strict=True)
    ]
    return Encoded(rows, sum(bool(encoding.overflowing) for encoding in found.encodings or ()))


def encode_words(
    tokenizer: PreTrainedTokenizerBase, sentences: Sequence[Sequence[str]], longest: int
) -> Encoded[EncodedWords]:
    """Rows of at most `longest` tokens: each word encoded by itself, after a blank, within what stands around a text.

    A word that has no token of its own has the tokenizer's for unknown ones; words without room are left out.
    """
    start, end = _around(tokenizer)
    known = dict.fromkeys(word for words in sentences for word in words)
    unknown = next((i for i in (tokenizer.unk_token_id, tokenizer.eos_token_id) if i is not None), 0)
    tokens = dict(zip(known, _plain(tokenizer, [f" {word}" for word in known]), strict=True))
    rows, shortened = [], 0
    for words in sentences:
        ids, firsts = list(start), []
        for word in words:
            pieces = tokens[word] or [unknown]
            if len(ids) + len(pieces) + len(end) > longest:
                shortened += 1
                break
            firsts.append(len(ids))
            ids += pieces
        rows.append(EncodedWords(PaddedRow(np.array([*ids, *end], np.int32)), firsts))
    return Encoded(rows, shortened)


def _around(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """What stands before and after a text."""
    if tokenizer.cls_token_id is not None and tokenizer.sep_token_id is not None:
        return [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [start], []


def _plain(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Encodings without anything around them."""
    if not texts:
        return []
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)[
        "input_ids"
    ]
    return found


def _too_long(rows: Sequence[Sequence[int]], longest: int) -> int:
    return sum(len(row) > longest for row in rows)
