"""What a model's files say, and the settings that do not fit it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.pretrained import PretrainedModel, conflicts_with_model, fit_to_context, read_pretrained

ADAPT: dict[str, Any] = {"task": {"source": "ui", "direction": "en-es"}}
GPT2 = PretrainedModel("gpt2", context_length=128, embeddings=3, tokens=("a", "b", "c"))


def spec_of(model: Any = None, **blocks: Any) -> FineTuneJobSpec:
    sources = [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "file:///ui.tsv"}]
    spec = {"model": model or {"from": {"uri": "file:///m"}}, "data": {"sources": sources}, "adapt": ADAPT} | blocks
    return FineTuneJob.from_json_object({"metadata": {"name": "ui"}, "spec": spec}).spec


def lengths(spec: FineTuneJobSpec) -> list[int | None]:
    return [block.batch.sequence_length for block in (spec.pretrain, spec.adapt) if block is not None]


PRETRAIN = {
    "budget": {"tokens": 1},
    "objectives": [{"name": "en", "type": "CausalLM", "source": "ui", "language": "en"}],
}


@pytest.mark.parametrize(
    ("context", "expected"), [(None, [1024, 512]), (4096, [1024, 512]), (768, [768, 512]), (128, [128, 128])]
)
def test_rows_that_are_not_given_follow_the_model(context: int | None, expected: list[int]) -> None:
    assert lengths(fit_to_context(spec_of(pretrain=PRETRAIN), context)) == expected


def test_a_new_model_has_its_own_context_and_what_is_given_stays() -> None:
    scratch = {"scratch": {"layers": 1, "hidden": 32, "heads": 2, "contextLength": 64}}
    assert lengths(fit_to_context(spec_of(scratch, pretrain=PRETRAIN), None)) == [64, 64]
    given = spec_of(adapt=ADAPT | {"batch": {"sequenceLength": 256}})
    assert lengths(fit_to_context(given, 4096)) == [256]
    assert conflicts_with_model(given, PretrainedModel("gpt2", 256)) == []


def said(spec: FineTuneJobSpec, model: PretrainedModel = GPT2) -> list[tuple[str, str]]:
    return [(problem.field, problem.message) for problem in conflicts_with_model(spec, model)]


def test_rows_longer_than_the_context_are_refused_with_both_numbers() -> None:
    batch = {"sequenceLength": 2048, "globalTokens": 8192}
    assert said(spec_of(adapt=ADAPT | {"batch": batch}, pretrain=PRETRAIN | {"batch": batch})) == [
        ("spec.pretrain.batch.sequenceLength", "2,048 exceeds the model's 128 positions: use at most 128"),
        ("spec.adapt.batch.sequenceLength", "2,048 exceeds the model's 128 positions: use at most 128"),
    ]


def test_a_global_batch_that_rows_of_the_context_do_not_divide_is_refused() -> None:
    short = spec_of(adapt=ADAPT | {"batch": {"globalTokens": 384, "microBatch": 2}})
    ((field, message),) = said(short)
    assert field == "spec.adapt.batch.globalTokens"
    assert message == (
        "384 is not a multiple of 256: rows of this model have 128 tokens, and nodes x processesPerNode x microBatch "
        "is 2; give another one, or sequenceLength"
    )
    assert said(spec_of(adapt=ADAPT | {"batch": {"globalTokens": 384}})) == []


def test_targets_that_the_architecture_does_not_have_are_named_with_those_it_has() -> None:
    spec = spec_of(adapt=ADAPT | {"lora": {"targets": ["c_attn", "q_proj", "lm_head", "v_proj"]}})
    words = "a gpt2 model has no linear layer named {}: use all-linear, or some of c_attn, c_proj, c_fc"
    assert said(spec) == [
        ("spec.adapt.lora.targets[1]", words.format("q_proj")),
        ("spec.adapt.lora.targets[3]", words.format("v_proj")),
    ]
    assert said(spec, PretrainedModel("unheard_of")) == []
    assert said(spec.model_copy(update={"adapt": spec.adapt.model_copy(update={"method": "Full"})})) == []  # type: ignore[union-attr]
    assert said(spec_of()) == []


def test_tokens_without_an_embedding_are_named() -> None:
    model = PretrainedModel("gpt2", embeddings=1, tokens=("a", "b", "c", "d", "e", "f"))
    ((field, message),) = said(spec_of(), model)
    assert field == "spec.model.from.uri"
    assert message.startswith("the tokenizer has 6 tokens, the model 1 embeddings: b, c, d, 2 more have none. Use the")
    assert "model.resize_token_embeddings(6)" in message


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "gpt2", "n_positions": 1024, "vocab_size": 9}, PretrainedModel("gpt2", 1024, 9)),
        ({"model_type": "llama", "max_position_embeddings": 64}, PretrainedModel("llama", 64)),
        ({"model_type": "bloom", "vocab_size": 9}, PretrainedModel("bloom", None, 9)),
        ({"model_type": "gemma3", "text_config": {"max_position_embeddings": 8, "vocab_size": 7}},
         PretrainedModel("gemma3", 8, 7)),
        ({"max_position_embeddings": "many", "vocab_size": None}, PretrainedModel()),
    ],
)  # fmt: skip
def test_what_the_configuration_says(config: dict[str, Any], expected: PretrainedModel, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_pretrained(tmp_path) == expected


@pytest.mark.parametrize("content", [None, "", "[1]", "{", "\xff"])
def test_a_folder_that_is_no_model_says_nothing(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="latin-1")
    assert read_pretrained(tmp_path) is None


@pytest.mark.parametrize(
    ("tokenizer", "tokens"),
    [
        ({"model": {"vocab": {"b": 1, "a": 0}}, "added_tokens": [{"id": 2, "content": "<pad>"}]}, ("a", "b", "<pad>")),
        ({"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 0, "content": "a"}]}, ("a",)),
        ({"model": {"vocab": [["a", -1.5], ["b", -2.0]]}}, ("a", "b")),
        ({"model": {}}, ()),
        ({"model": {"vocab": {"a": None}}}, ()),
    ],
)
def test_the_tokens_of_a_tokenizer_with_those_added(
    tokenizer: dict[str, Any], tokens: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert read_pretrained(tmp_path, and_tokenizer=True) == PretrainedModel(tokens=tokens)
    assert read_pretrained(tmp_path) == PretrainedModel()
