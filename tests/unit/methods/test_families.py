"""LoRA with its default targets on models of several architectures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from finetune_api.adapt import Adapt, Lora
from finetune_api.pretrained import LAYERS
from finetune_trainer.engine.state import weights
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods import find_method
from finetune_trainer.methods.lora import add_lora, linear_layers
from finetune_trainer.models import ModelChoice, load_model, model_outline
from unit.models.families import FAMILIES, tiny_config

TOKENS = torch.arange(3, 43)[None]


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(family: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(tiny_config(family)).save_pretrained(tmp_path / family)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(tmp_path / family)
    return tmp_path / family


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        value: torch.Tensor = model.eval()(input_ids=TOKENS, use_cache=False).logits
    return value


def updated(model: PeftModel) -> set[str]:
    names = (name.split(".lora_")[0] for name, parameter in model.named_parameters() if parameter.requires_grad)
    return {name.rpartition(".")[2] for name in names}


def test_the_default_updates_all_linear_layers_and_merges_into_a_whole_model(
    family: str, folder: Path, tmp_path: Path
) -> None:
    base = load_model(folder, "spec.model.from")
    plain = logits(base)
    model = add_lora(base, Lora(rank=4, alpha=8, dropout=0.0), seed=1, base="b")
    assert updated(model) == set(LAYERS[family])
    assert torch.equal(logits(model), plain)
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    adapted = logits(model)
    assert (adapted - plain).abs().max() > 0.01
    whole = tmp_path / "merged"
    whole.mkdir()
    base_files = ModelChoice("base", "base", folder, "spec.model.from")
    find_method("LoRA").save(whole, model, weights(model, trainable_only=True), base_files)
    with safe_open(folder / "model.safetensors", "pt") as ours, safe_open(whole / "model.safetensors", "pt") as theirs:
        assert list(ours.keys()) == list(theirs.keys())
    merged = load_model(whole, "artifact")
    assert logits(merged) == pytest.approx(adapted, abs=1e-4)
    transposed = [module.weight for module in merged.modules() if isinstance(module, Conv1D)]
    assert bool(transposed) is (family == "gpt2")


def test_layers_are_named_without_weights(family: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    layers = linear_layers(model_outline(folder, "spec.model.from"))
    assert set(layers) - {"lm_head"} == set(LAYERS[family])


def test_the_table_of_layers_is_that_of_transformers() -> None:
    of_gpt_neo = {"num_layers": 2, "attention_types": [[["global", "local"], 1]]}
    for family, layers in LAYERS.items():
        depth = of_gpt_neo if family == "gpt_neo" else {"num_hidden_layers": 1}
        config = AutoConfig.for_model(family, pad_token_id=0, **depth)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        assert set(linear_layers(model)) - {"lm_head"} == set(layers), family


@pytest.mark.parametrize("family", ["gpt2"], indirect=True)
def test_targets_that_the_model_does_not_have_are_refused_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    base = ModelChoice("base", "base", folder, "spec.model.from")
    lora = find_method("LoRA")
    adapt = Adapt.from_json_object({"task": {"source": "ui", "direction": "en-es"}})
    lora.check(adapt, base)
    wrong = adapt.model_copy(update={"lora": Lora(targets=["q_proj", "c_attn"])})
    with pytest.raises(BadConfiguration, match="no linear layer named q_proj") as caught:
        lora.check(wrong, base)
    assert caught.value.remedy == "Layers there are: c_attn, c_proj, c_fc."
