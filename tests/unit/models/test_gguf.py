"""GGUF files as pretrained models: what lint reads of them, and the folder that they become."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from finetune_api.common import ModelReference
from finetune_api.gguf_file import GgufError, read_gguf
from finetune_api.job import FineTuneJob
from finetune_api.pretrained import PretrainedModel, conflicts_with_model, read_pretrained
from finetune_api.transformer import shape_of_model
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import gguf as converter
from finetune_trainer.models import load_model, load_tokenizer, referenced_model
from unit.models.gguf_files import SIZES, TEXTS, write_gguf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the tests write one."""
    return tmp_path / "tiny.gguf"


def converted(file: Path) -> Path:
    return referenced_model(ModelReference(uri=str(file)), "spec.model.from", file.parent / "run").folder


@pytest.mark.parametrize(("family", "tied"), [("llama", True), ("llama", False), ("qwen2", True), ("qwen3", False)])
def test_the_folder_computes_what_the_file_stands_for(family: str, tied: bool, file: Path) -> None:
    original = write_gguf(file, family, tied=tied)
    folder = converted(file)
    model, tokenizer = load_model(folder, "spec.model.from"), load_tokenizer(folder, "spec.model.from")
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in original.named_parameters()}
    ids = torch.tensor([tokenizer.encode(TEXTS[0])])
    assert torch.equal(model(ids).logits, original(ids).logits)


def test_texts_come_back_and_special_tokens_are_known(file: Path) -> None:
    write_gguf(file)
    tokenizer = AutoTokenizer.from_pretrained(converted(file))
    for text in ("Año 2026: ¿qué?\n", "  a  b", "日本 🦔"):
        assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False) == text
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "<pad>")
    assert tokenizer.encode("</s>") == [tokenizer.eos_token_id]
    assert tokenizer.tokenize("in 2026)")[-5:] == ["2", "0", "2", "6", ")"]


def test_large_models_are_several_files(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "SHARD_BYTES", 20_000)
    original = write_gguf(file)
    folder = converted(file)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(load_model(folder, "spec.model.from")(ids).logits, original(ids).logits)


def test_a_file_is_converted_once_and_again_when_it_was_replaced(file: Path) -> None:
    write_gguf(file)
    first = converted(file)
    written = (first / "config.json").stat().st_mtime_ns
    assert converted(file) == first
    assert (first / "config.json").stat().st_mtime_ns == written
    write_gguf(file, tied=False)
    assert converted(file) != first
    assert not list(first.parent.glob(".*"))


def test_what_lint_and_plan_read_of_a_file(file: Path) -> None:
    model = write_gguf(file)
    found = read_pretrained(file, and_tokenizer=True)
    assert found is not None
    assert (found.architecture, found.context_length, found.embeddings) == ("llama", 64, model.config.vocab_size)
    assert (len(found.tokens), found.tokens[:3], found.unreadable) == (
        model.config.vocab_size,
        ("<s>", "</s>", "<pad>"),
        (),
    )
    shape = shape_of_model(file)
    assert shape is not None
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert (shape.layers, shape.head_size) == (SIZES["num_hidden_layers"], SIZES["head_dim"])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"general.architecture": "mamba"}, "its architecture is mamba; llama, qwen2 or qwen3 is read"),
        ({"llama.rope.scaling.type": "yarn"}, "its positions are scaled (rope scaling), which is not read"),
        (
            {"tokenizer.ggml.model": "llama"},
            "its tokenizer is of the kind llama; gpt2 (byte-level BPE) is read",
        ),
        (
            {"tokenizer.ggml.pre": "tekken"},
            "its tokenizer cuts texts as tekken does; default, gpt-2, qwen2 or smollm is read",
        ),
    ],
)
def test_what_is_not_read_is_refused_by_lint_and_by_prepare(changed: dict[str, str], reason: str, file: Path) -> None:
    write_gguf(file, changed=changed)
    assert refusals(file) == [
        f"this GGUF file cannot be read: {reason}. Give the model as a folder with config.json and safetensors"
    ]
    with pytest.raises(BadConfiguration) as caught:
        converted(file)
    assert caught.value.message == f"spec.model.from.uri: {file} cannot be read as a GGUF file: {reason}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it does not begin as a GGUF file does"),
        (b"PK\x03\x04", "it does not begin as a GGUF file does"),
        (b"GGUF", "it ends within its header: the copy may be incomplete"),
        (b"GGUF\x01\0\0\0", "its version is 1; versions 2 and 3, little-endian, are read"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "it ends within its header: the copy may be incomplete"),
    ],
)
def test_a_file_that_is_no_gguf_says_what_is_wrong(content: bytes, reason: str, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(GgufError, match=f"^{reason}$"):
        read_gguf(file)
    assert read_pretrained(file) == PretrainedModel(unreadable=(reason,))


@pytest.mark.parametrize("part", [0.05, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_refused_in_words(part: float, file: Path) -> None:
    write_gguf(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(BadConfiguration, match="the copy may be incomplete"):
        converted(file)
    assert not [path for path in file.parent.rglob("*") if path.is_file() and path != file]


def test_a_file_that_is_not_there_is_refused_in_words(file: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read as a GGUF file: No such file or directory"):
        converted(file)
    assert read_pretrained(file) is None


def refusals(file: Path) -> list[str]:
    source = {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "file:///ui.tsv"}
    spec = {
        "model": {"from": {"uri": str(file)}},
        "data": {"sources": [source]},
        "adapt": {"task": {"source": "ui", "direction": "en-es"}, "batch": {"globalTokens": 64}},
    }
    model = read_pretrained(file)
    assert model is not None
    job = FineTuneJob.from_json_object({"metadata": {"name": "tiny"}, "spec": spec})
    return [problem.message for problem in conflicts_with_model(job.spec, model)]
