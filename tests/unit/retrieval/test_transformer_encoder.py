from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from finetune_api.adapt import Retrieval
from finetune_api.common import UriReference
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.retrieval import FuzzyIndex
from finetune_trainer.retrieval.encoders import TransformerEncoder

TEXTS = ["open the file", "close the folder", "file", "the the the open close folder file"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder")
    words = {"[PAD]": 0, "[UNK]": 1, "open": 2, "the": 3, "file": 4, "close": 5, "folder": 6}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=7, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(config).save_pretrained(path)
    return path


def test_padding_does_not_change_a_vector(folder: Path) -> None:
    encoder = TransformerEncoder(UriReference(uri=f"file://{folder}"), "encoder")
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_a_folder_can_be_the_encoder_of_an_index(folder: Path) -> None:
    index = FuzzyIndex.build(TEXTS, Retrieval(encoder=UriReference(uri=str(folder))))
    assert index.search(["close the folder"]).rows.tolist() == [[1]]


GPT2 = GPT2Config(vocab_size=7, n_embd=16, n_layer=1, n_head=2)
T5 = T5Config(vocab_size=7, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(GPT2LMHeadModel, GPT2), r"a language model \(GPT2LMHeadModel\)"),
        (partial(T5ForConditionalGeneration, T5), "an encoder-decoder"),
    ],
)
def test_a_model_of_another_kind_is_refused(
    make: Callable[[], PreTrainedModel], words: str, folder: Path, tmp_path: Path
) -> None:
    make().save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(BadConfiguration, match=f"is {words}.*not a sentence encoder"):
        TransformerEncoder(UriReference(uri=str(tmp_path)), "encoder")


def test_a_text_longer_than_the_encoder_is_cut(folder: Path) -> None:
    encoder = TransformerEncoder(UriReference(uri=str(folder)), "encoder")
    assert encoder.encode(["file " * 600]).shape == (1, 16)
