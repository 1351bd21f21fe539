from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from finetune_api.adapt import Retrieval
from finetune_api.common import UriReference
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
