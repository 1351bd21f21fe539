from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import check_vocabulary


def refusal(folder: Path, tokenizer: PreTrainedTokenizerFast) -> BadConfiguration:
    with pytest.raises(BadConfiguration) as caught:
        check_vocabulary(folder, "spec.model.from", tokenizer)
    return caught.value


def test_a_model_with_its_own_tokenizer_is_accepted(base: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    check_vocabulary(base, "spec.model.from", tokenizer)


def test_a_tokenizer_with_more_tokens_is_refused(base: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    other = PreTrainedTokenizerFast.from_pretrained(base)
    other.add_tokens(["one more"])
    error = refusal(base, other)
    assert error.reason == "TokenizerMismatch"
    assert "260 and 259 tokens" in error.message


def test_another_tokenizer_of_the_same_size_is_refused(base: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    file = base / "tokenizer.json"
    file.write_text(file.read_text().replace('"A": ', '"AA": '))
    assert refusal(base, tokenizer).reason == "TokenizerMismatch"


def test_a_model_without_tokenizer_is_refused(base: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (base / name).unlink()
    assert refusal(base, tokenizer).reason == "TokenizerNotFound"
