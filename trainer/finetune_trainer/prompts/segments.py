"""Tokens of the fixed parts of a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

_ANCHOR = "a"
LINE_BREAK = "\n"


def encode_inside(tokenizer: PreTrainedTokenizerBase, text: str) -> npt.NDArray[np.int32]:
    """Tokens of `text` where it continues another text.

    Tokenizers of the SentencePiece kind put a blank before what they take for the start of a text; hence the anchor.
    """
    anchor = tokenizer.encode(_ANCHOR, add_special_tokens=False)
    whole = tokenizer.encode(_ANCHOR + text, add_special_tokens=False)
    if whole[: len(anchor)] == anchor:
        return np.array(whole[len(anchor) :], np.int32)
    return np.array(tokenizer.encode(text, add_special_tokens=False), np.int32)


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], lead: str) -> list[npt.NDArray[np.int32]]:
    """Tokens of texts, in which no special token is seen, even where one is spelled.

    Args:
        tokenizer: of the model.
        texts: without line breaks.
        lead: what each is encoded with: a blank; or nothing, where it continues a line break or a special token.
    """
    if not texts:
        return []
    anchor = [] if lead else _encode(tokenizer, [LINE_BREAK])[0]
    encoded = _encode(tokenizer, [f"{lead or LINE_BREAK}{text}" for text in texts])
    continued = [ids[: len(anchor)] == anchor for ids in encoded]
    alone = iter(_encode(tokenizer, [text for text, whole in zip(texts, continued, strict=True) if not whole]))
    return [
        np.array(ids[len(anchor) :] if whole else next(alone), np.int32)
        for ids, whole in zip(encoded, continued, strict=True)
    ]


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    ids = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return [list(row) for row in ids]


def leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer itself puts before every text: the begin-of-sequence token, or nothing."""
    plain = tokenizer.encode(_ANCHOR, add_special_tokens=False)
    whole = tokenizer.encode(_ANCHOR)
    position = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
    return list(whole[:position])


def newline_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that are blank and hold a line break."""
    ids = [[i] for i in range(len(tokenizer))]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return frozenset(i for i, text in enumerate(texts) if "\n" in text and not text.strip())
