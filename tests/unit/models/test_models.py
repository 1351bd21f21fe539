from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import MistralForCausalLM

from finetune_api.model import Parallelism, ScratchModel, Zero
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import (
    Placement,
    check_fit,
    load_model,
    place_weights,
    save_model,
    saved_dtype,
    scratch_config,
    scratch_model,
)
from finetune_trainer.models.shards import weight_files
from finetune_trainer.workspace.storage import model_folder
from live_bytes import LiveBytes
from tiny import TinyTokenizer, parameters, tiny_model


def test_a_new_model_has_the_standard_initialisation() -> None:
    model = tiny_model(hidden=64)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            assert float(parameter.detach().std()) == pytest.approx(0.02, rel=0.1), name
        else:
            assert (parameter == 1).all(), name


def test_the_seed_decides_about_the_weights_and_nothing_else_is_disturbed() -> None:
    torch.manual_seed(5)
    undisturbed = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = tiny_model(1), tiny_model(1), tiny_model(2)
    assert torch.equal(torch.rand(3), undisturbed)
    assert torch.equal(parameters(first), parameters(again))
    assert not torch.equal(parameters(first), parameters(other))


def test_shape_is_as_asked_and_no_cache_in_training() -> None:
    spec = ScratchModel(layers=3, hidden=48, heads=6, kv_heads=2, context_length=128, tie_embeddings=False)
    config = scratch_model(spec, TinyTokenizer(), 0).config
    assert (config.num_hidden_layers, config.hidden_size, config.head_dim) == (3, 48, 8)
    assert (config.num_attention_heads, config.num_key_value_heads) == (6, 2)
    assert (config.intermediate_size, config.max_position_embeddings) == (168, 128)
    assert (config.sliding_window, config.use_cache, config.tie_word_embeddings) == (None, False, False)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, 2, 0)


def test_saved_models_come_back(tmp_path: Path) -> None:
    model = tiny_model()
    save_model(tmp_path / "model", model, model.named_parameters())
    again = load_model(model_folder(f"file://{tmp_path}/model", "spec.model.from.uri"), "spec.model.from")
    assert torch.equal(parameters(model), parameters(again))
    assert '"use_cache": true' in (tmp_path / "model" / "config.json").read_text()
    assert model.config.use_cache is False
    assert again.config.use_cache is False


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_model_is_saved_in_the_type_asked_for(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_model()
    save_model(tmp_path, model, model.named_parameters(), dtype)
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {dtype}
    assert saved_dtype(tmp_path) == dtype
    assert model.dtype == torch.float32


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_written_as_its_weights_come(tied: bool, tmp_path: Path) -> None:
    spec = ScratchModel(layers=8, hidden=64, heads=4, kv_heads=2, context_length=64, tie_embeddings=tied)
    model = scratch_model(spec, TinyTokenizer(), 0)
    size = 2 * sum(parameter.numel() for parameter in model.parameters())
    with LiveBytes(model.parameters()) as memory:
        save_model(tmp_path, model, model.named_parameters(), torch.bfloat16, limit=size // 8)
    assert memory.peak < size / 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json", "generation_config.json", *(f"model-{i:05d}-of-00009.safetensors" for i in range(1, 10)),
        "model.safetensors.index.json",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
    again = load_model(tmp_path, "artifact")
    assert torch.equal(parameters(again), parameters(model).to(torch.bfloat16).float())
    assert (again.lm_head.weight is again.model.embed_tokens.weight) is tied
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": size}
    assert weight_files(tmp_path) == sorted(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("engine", "adapter", "expected"),
    [("DDP", True, torch.bfloat16), ("DDP", False, torch.float32), ("DeepSpeed", False, torch.bfloat16)],
)
def test_only_what_ddp_trains_is_wide(engine: str, adapter: bool, expected: torch.dtype) -> None:
    parallelism = Parallelism.model_validate({"engine": engine, "precision": "BF16"})
    assert place_weights(parallelism, 2, torch.device("cpu"), adapter=adapter).dtype == expected
    wide = Parallelism(precision="FP32")
    assert place_weights(wide, 2, torch.device("cpu"), adapter=adapter).dtype == torch.float32


def test_only_zero_3_partitions_weights_as_they_are_loaded() -> None:
    def placed(stage: int, ranks: int) -> Zero | None:
        parallelism = Parallelism(zero=Zero(stage=stage), precision="BF16")
        return place_weights(parallelism, ranks, torch.device("cpu"), adapter=True).zero

    assert [placed(stage, 2) for stage in range(4)] == [None, None, None, Zero(stage=3)]
    assert placed(3, 1) is None


@pytest.mark.parametrize("tied", [True, False])
def test_a_new_model_is_to_the_bit_what_the_library_would_make_of_the_seed(tied: bool) -> None:
    spec = ScratchModel(layers=2, hidden=32, heads=4, kv_heads=2, context_length=64, tie_embeddings=tied)
    torch.manual_seed(3)
    expected = MistralForCausalLM(scratch_config(spec, TinyTokenizer()))
    drawn = scratch_model(spec, TinyTokenizer(), 3)
    assert expected.state_dict().keys() == drawn.state_dict().keys()
    for (name, ours), theirs in zip(drawn.state_dict().items(), expected.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    assert (drawn.lm_head.weight is drawn.model.embed_tokens.weight) is tied


def test_a_new_model_is_made_in_its_type_layer_by_layer() -> None:
    spec = ScratchModel(layers=8, hidden=64, heads=4, kv_heads=2, context_length=64)
    with LiveBytes() as memory:
        narrow = scratch_model(spec, TinyTokenizer(), 0, Placement(torch.bfloat16))
    assert {parameter.dtype for parameter in narrow.parameters()} == {torch.bfloat16}
    size = 2 * sum(parameter.numel() for parameter in narrow.parameters())
    assert size <= memory.now <= memory.peak < 1.2 * size


def test_weights_are_read_to_the_device_and_in_the_type_asked_for(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    read = load_model(tmp_path, "spec.model.from", placement=Placement(torch.bfloat16, torch.device("meta")))
    assert {(p.device.type, p.dtype) for p in read.parameters()} == {("meta", torch.bfloat16)}


def test_another_user_can_read_a_saved_model_as_a_whole(tmp_path: Path) -> None:
    model = tiny_model()
    save_model(tmp_path, model, model.named_parameters())
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr("os.access", lambda path, _: Path(path).suffix != ".safetensors")
    with pytest.raises(BadConfiguration, match=r"no permission to read .*model\.safetensors"):
        model_folder(str(tmp_path), "spec.model.from.uri")


@pytest.mark.parametrize(
    ("uri", "message"),
    [("hf://a/b", "hf:// is not supported"), ("file:///nowhere", "not a model folder"), ("nowhere", "no config.json")],
)
def test_references_that_lead_nowhere_are_refused(uri: str, message: str) -> None:
    with pytest.raises(BadConfiguration, match=message):
        model_folder(uri, "spec.model.from.uri")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    tiny_model().config.save_pretrained(tmp_path)
    with pytest.raises(BadConfiguration, match="cannot be loaded"):
        load_model(tmp_path, "spec.model.from")


def test_a_foreign_tokenizer_and_rows_that_are_too_long_are_refused() -> None:
    class Larger(TinyTokenizer):
        def __len__(self) -> int:
            return 129

    with pytest.raises(BadConfiguration, match="129 tokens, the model 128 embeddings: <128> has none"):
        check_fit(tiny_model(), Larger(), 64)
    with pytest.raises(BadConfiguration, match="65 exceeds the model's 64"):
        check_fit(tiny_model(), TinyTokenizer(), 65)
    check_fit(tiny_model(), TinyTokenizer(), 64)
