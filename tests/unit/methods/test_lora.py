from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from finetune_api.adapt import Lora
from finetune_api.model import LINEAR_LAYERS
from finetune_trainer.engine.state import full_state_dict, weights
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods import find_method
from finetune_trainer.methods.lora import add_lora, linear_layers, save_adapter
from finetune_trainer.models import ModelChoice, Placement, merging, quiet
from finetune_trainer.models import load_model as load
from finetune_trainer.models.merging import write_merged
from live_bytes import LiveBytes
from tiny import parameters, tiny_model

SETTINGS = Lora(rank=4, alpha=8, dropout=0.1, targets=["q_proj", "v_proj", "down_proj"])
TOKENS = torch.arange(3, 43)[None]


def load_model(folder: Path) -> PreTrainedModel:
    return load(folder, "spec.model.from")


def trained(base: Path, settings: Lora = SETTINGS) -> PeftModel:
    """A model whose update is not zero."""
    model = add_lora(load_model(base), settings, seed=1, base="models/pretrain")
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def save(folder: Path, model: PeftModel, base: Path) -> None:
    """As at the end of a stage: the merged model, and the adapter in its folder."""
    folder.mkdir()
    find_method("LoRA").save(folder, model, weights(model, trainable_only=True), chosen(base))


def chosen(base: Path) -> ModelChoice:
    return ModelChoice("base", "base", base, "spec.model.from")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        value: torch.Tensor = model.eval()(input_ids=TOKENS, use_cache=False).logits
    return value


def test_nothing_changes_before_training_and_only_the_update_is_trained(base: Path) -> None:
    plain = logits(load_model(base))
    model = add_lora(load_model(base), SETTINGS, seed=1, base="b")
    assert torch.equal(logits(model), plain)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(names) == 2 * 3 * 2
    assert all("lora_" in name for name in names)


def test_all_linear_is_every_layer_but_the_output_layer(base: Path) -> None:
    model = add_lora(load_model(base), SETTINGS.model_copy(update={"targets": ["all-linear"]}), seed=1, base="b")
    updated = {
        name.split(".lora_")[0].rpartition(".")[2]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    assert updated == set(LINEAR_LAYERS)


def test_the_first_halves_depend_on_the_seed_alone(base: Path) -> None:
    def halves(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(int.from_bytes(base.name.encode()[:2]) + len(made))
        made.append(add_lora(load_model(base), SETTINGS, seed, "b"))
        return [parameter for name, parameter in made[-1].named_parameters() if "lora_A" in name]

    made: list[PeftModel] = []
    assert all(torch.equal(a, b) for a, b in zip(halves(5), halves(5), strict=True))
    assert not torch.equal(halves(5)[0], halves(6)[0])


def test_merged_equals_adapter_and_base_and_differs_from_base(base: Path, tmp_path: Path) -> None:
    model = trained(base)
    expected = logits(model)
    save(tmp_path / "merged", model, base)

    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        from_adapter = PeftModel.from_pretrained(load_model(base), str(tmp_path / "merged/adapter"))
    assert logits(from_adapter) == pytest.approx(expected, abs=1e-5)
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert logits(reloaded) == pytest.approx(expected, abs=1e-5)
    assert (logits(load_model(base)) - expected).abs().max() > 0.01


def test_embeddings_stay_tied_or_untied_in_the_merged_model(base: Path, tmp_path: Path) -> None:
    model = trained(base)
    save(tmp_path / "merged", model, base)
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    tied = load_model(base).config.tie_word_embeddings
    assert (reloaded.lm_head.weight is reloaded.model.embed_tokens.weight) is tied
    assert ("lm_head.weight" in load_file(tmp_path / "merged" / "model.safetensors")) is not tied
    assert not any("lora" in name for name in reloaded.state_dict())


@pytest.mark.parametrize(
    "change", [{}, {"use_rslora": True}, {"use_dora": True}], ids=lambda change: "".join(change) or "plain"
)
def test_files_are_merged_one_by_one_as_peft_merges_the_whole(
    base: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    load(base, "base", placement=Placement(torch.bfloat16)).save_pretrained(tmp_path / "narrow", max_shard_size="20KB")
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], **change)
    with quiet():
        adapted = get_peft_model(load_model(tmp_path / "narrow"), settings)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name or "magnitude" in name:
            torch.nn.init.uniform_(parameter, 0.1, 0.5)
    trained_weights = {n: p.detach() for n, p in adapted.named_parameters() if p.requires_grad}
    (tmp_path / "merged").mkdir()
    write_merged(tmp_path / "merged", chosen(tmp_path / "narrow"), adapted.peft_config["default"], trained_weights)

    expected = adapted.merge_and_unload().state_dict()
    found = files(tmp_path / "merged")
    assert found.keys() == files(tmp_path / "narrow").keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name].to(torch.bfloat16)), name
    before = files(tmp_path / "narrow")
    changed = {name.split(".")[-2] for name, value in before.items() if (value != found[name]).any()}
    assert changed == {"q_proj", "down_proj"}
    for name in ("config.json", "generation_config.json"):
        assert (tmp_path / "merged" / name).read_text() == (tmp_path / "narrow" / name).read_text()


def files(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def test_files_without_the_first_part_of_names_are_merged(tmp_path: Path) -> None:
    config = GPT2Config(n_embd=8, n_layer=1, n_head=1, n_positions=8, vocab_size=8, bos_token_id=1, eos_token_id=1)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "base")
    short = {name.removeprefix("transformer."): value for name, value in files(tmp_path / "base").items()}
    save_file(short, tmp_path / "base/model.safetensors", metadata={"format": "pt"})
    adapted = add_lora(load_model(tmp_path / "base"), Lora(targets=["c_attn", "c_proj"], rank=2), 1, "base")
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    save(tmp_path / "merged", adapted, tmp_path / "base")
    found = files(tmp_path / "merged")
    assert found.keys() == short.keys()
    expected = adapted.merge_and_unload().state_dict()
    for name, value in found.items():
        assert torch.equal(value, expected[f"transformer.{name}"]), name
        assert torch.equal(value, short[name]) is not name.endswith(("c_attn.weight", "c_proj.weight")), name


def test_weights_that_are_in_no_safetensors_file_are_merged_as_a_whole(base: Path, tmp_path: Path) -> None:
    model = trained(base)
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    save(tmp_path / "merged", model, base)
    assert logits(load_model(tmp_path / "merged")) == pytest.approx(logits(model), abs=1e-5)
    assert ("lm_head.weight" in files(tmp_path / "merged")) is not load_model(base).config.tie_word_embeddings


def test_no_model_is_in_memory_while_files_are_merged(tmp_path: Path) -> None:
    base = tmp_path / "base"
    tiny_model(layers=8, hidden=64).save_pretrained(base, max_shard_size="50KB")
    adapted = add_lora(load_model(base), Lora(targets=["q_proj", "down_proj"], rank=2), 1, "base")
    (tmp_path / "merged").mkdir()
    adapter = {name: value.detach() for name, value in weights(adapted, trainable_only=True)}
    with patch.object(merging, "SHARD_BYTES", 100_000), LiveBytes() as memory:
        write_merged(tmp_path / "merged", chosen(base), adapted.peft_config["default"], adapter)
    assert len(list((tmp_path / "merged").glob("*.safetensors"))) > 4
    size = sum(value.nbytes for value in files(base).values())
    assert memory.peak < size / 4
    reloaded = load_model(tmp_path / "merged")
    assert torch.equal(parameters(reloaded), parameters(load_model(base))), "updates of zero change nothing"


def test_the_adapter_folder_holds_the_update_only_and_names_its_base(base: Path, tmp_path: Path) -> None:
    model = trained(base)
    save_adapter(tmp_path / "adapter", model, full_state_dict(model, is_main=True, trainable_only=True))
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert len(weights) == 12
    assert {4} == {min(weight.shape) for weight in weights.values()}
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors"
    ]  # fmt: skip
    assert '"base_model_name_or_path": "models/pretrain"' in (tmp_path / "adapter" / "adapter_config.json").read_text()


def test_partitioned_weights_are_not_saved_as_an_adapter(base: Path, tmp_path: Path) -> None:
    model = trained(base)
    weights = full_state_dict(model, is_main=True, trainable_only=True)
    weights[next(iter(weights))] = torch.empty(0)
    with pytest.raises(RuntimeError, match="partitioned"):
        save_adapter(tmp_path / "adapter", model, weights)


def test_a_target_that_names_no_layer_is_refused_with_the_layers_there_are(base: Path) -> None:
    with pytest.raises(BadConfiguration, match="no linear layer named query_key_value or dense") as caught:
        add_lora(load_model(base), Lora(targets=["q_proj", "query_key_value", "dense"]), seed=1, base="b")
    assert "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj" in caught.value.remedy


def test_the_output_layer_is_a_target_only_if_it_is_not_the_input_embedding(base: Path) -> None:
    model = load_model(base)
    assert ("lm_head" in linear_layers(model)) is not model.config.tie_word_embeddings


def test_transposed_layers_without_a_mask_are_trained_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = GPT2Config(n_embd=8, n_layer=1, n_head=1, n_positions=8, vocab_size=8, bos_token_id=1, eos_token_id=1)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    model.config.pad_token_id = 0
    adapted = add_lora(model, Lora(targets=["c_attn"]), 1, str(tmp_path))
    assert adapted(input_ids=torch.zeros((1, 4), dtype=torch.long)).logits.shape == (1, 4, 8)
    logging.getLogger("transformers.modeling_utils").warning("another word")
    assert [record.getMessage() for record in caplog.records] == ["another word"]
