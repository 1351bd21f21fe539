"""A rival with an encoder and a decoder: transformers' own generate, told the languages as each family wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer, PreTrainedTokenizerFast

from finetune_trainer.errors import BadConfiguration
from unit.evaluation.test_rivals import answers, make_test_set

WORDS = ["the", "el", "user", "usuario", "opens", "abre", "file", "archivo"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def nllb() -> Any:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *(f"▁{word}" for word in WORDS)])}
    return NllbTokenizer(
        vocab=vocabulary, merges=[], extra_special_tokens=["eng_Latn", "spa_Latn"], src_lang="eng_Latn"
    )


def with_words(*tokens: str) -> Any:
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*SPECIAL, *WORDS])}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, additional_special_tokens=list(tokens), **marks)  # type: ignore[no-untyped-call]


def saved(folder: Path, tokenizer: Any) -> dict[str, Any]:
    torch.manual_seed(2)
    config = M2M100Config(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
    )  # fmt: skip
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {"name": "nllb", "type": "EncoderDecoder", "model": {"uri": f"file://{folder}"}}


def by_hand(folder: Path, tokenizer: Any, source: str, **settings: Any) -> str:
    model: Any = M2M100ForConditionalGeneration.from_pretrained(folder)
    inputs = tokenizer(source, return_tensors="pt")
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    output = model.generate(**given, max_new_tokens=6, do_sample=False, **settings)
    return str(tokenizer.batch_decode(output, skip_special_tokens=True)[0]).strip()


SOURCES = ["the user opens the file", "the file", "user opens"]


def test_outputs_are_those_of_generate_with_both_languages_named(tmp_path: Path) -> None:
    tokenizer = nllb()
    rival = saved(tmp_path / "model", tokenizer)
    task = make_test_set(1, shots=(0, 1)).task.model_copy(update={"max_new_tokens": 6})
    found = answers(tmp_path, rival, make_test_set(3, sources=SOURCES, task=task))
    tokenizer.src_lang = "eng_Latn"
    first = tokenizer.convert_tokens_to_ids("spa_Latn")
    expected = [by_hand(tmp_path / "model", tokenizer, source, forced_bos_token_id=first) for source in SOURCES]
    assert any(expected)
    assert found.outputs["en-es", 0].texts == expected
    assert found.outputs["en-es", 1] is found.outputs["en-es", 0]
    assert (found.description.type, found.description.name) == ("EncoderDecoder", "nllb")
    assert found.description.parameters


@pytest.mark.parametrize(
    ("tokens", "prefix", "target"),
    [((), "", None), ((">>es<<", ">>fr<<"), ">>es<< ", None), (("__en__", "__es__"), "__en__ ", "__es__")],
)
def test_languages_are_told_as_the_family_wants_it(
    tmp_path: Path, tokens: tuple[str, ...], prefix: str, target: str | None
) -> None:
    tokenizer = with_words(*tokens)
    rival = saved(tmp_path / "model", tokenizer)
    task = make_test_set(1).task.model_copy(update={"max_new_tokens": 6})
    found = answers(tmp_path, rival, make_test_set(3, sources=SOURCES, task=task))
    settings = {} if target is None else {"forced_bos_token_id": tokenizer.convert_tokens_to_ids(target)}
    expected = [by_hand(tmp_path / "model", tokenizer, f"{prefix}{source}", **settings) for source in SOURCES]
    assert found.outputs["en-es", 0].texts == expected


def test_a_model_without_the_language_is_refused(tmp_path: Path) -> None:
    rival = saved(tmp_path / "model", with_words("__en__", "__fr__"))
    with pytest.raises(
        BadConfiguration, match=r"rivals\[0\].model: the model has no es, which task 'en-es' needs"
    ) as caught:
        answers(tmp_path, rival, make_test_set(1))
    assert caught.value.remedy == "Languages it has: en, fr."


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    rival = saved(tmp_path / "model", with_words())
    for file in (tmp_path / "model").glob("*token*"):
        file.unlink()
    with pytest.raises(BadConfiguration, match=r"the tokenizer of .* cannot be loaded"):
        answers(tmp_path, rival, make_test_set(1))
