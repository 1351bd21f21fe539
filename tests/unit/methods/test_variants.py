"""Variants of LoRA: the scale, first weights, lengths, rates; what they save fits the unchanged base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from finetune_api.adapt import Adapt, Lora
from finetune_trainer.engine.optimizer import build_optimizer
from finetune_trainer.engine.state import full_state_dict
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods import find_method
from finetune_trainer.methods.lora import ADAPTER, add_lora
from finetune_trainer.models import ModelChoice, load_model
from finetune_trainer.models.placement import ON_CPU
from unit.models.families import tiny_config

TOKENS = torch.arange(3, 43)[None]


@pytest.fixture(params=["mistral", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> ModelChoice:
    """A tiny model with untied weights, or one with transposed layers."""
    torch.manual_seed(0)
    config = tiny_config("llama" if request.param == "mistral" else "gpt2")
    folder = tmp_path / "base"
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(folder)
    return ModelChoice("base", "base", folder, "spec.model.from")


def adapt(method: str, **lora: object) -> Adapt:
    settings = {"rank": 4, "alpha": 8, "dropout": 0.0} | lora
    return Adapt.from_json_object({"method": method, "lora": settings, "task": {"source": "ui", "direction": "en-es"}})


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        value: torch.Tensor = model.eval()(input_ids=TOKENS, use_cache=False).logits
    return value


def train(model: torch.nn.Module, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        model.train()(input_ids=TOKENS, labels=TOKENS, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"rank": 16, "alpha": 32}, 2.0),
        ({"rank": 64, "alpha": 32}, 4.0),
        ({"rank": 64, "alpha": 32, "rsLoRA": "Never"}, 0.5),
        ({"rank": 16, "alpha": 32, "rsLoRA": "Always"}, 8.0),
    ],
)
def test_the_scale_is_rank_stabilised_from_rank_32_on(settings: dict[str, object], scale: float) -> None:
    lora = Lora.from_json_object(settings)
    assert lora.scale == scale
    torch.manual_seed(0)
    model = add_lora(AutoModelForCausalLM.from_config(tiny_config("llama")), lora, 1, "b")  # type: ignore[no-untyped-call]
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    assert layer.scaling == {"default": scale}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("LoRA", {"rsLoRA": "Always"}),
        ("LoRA", {"initialisation": "PiSSA"}),
        ("LoRA", {"initialisation": "PiSSA", "rsLoRA": "Always"}),
        ("DoRA", {}),
    ],
)
def test_what_is_saved_computes_what_was_trained_on_the_unchanged_base(
    method: str, settings: dict[str, object], base: ModelChoice, tmp_path: Path
) -> None:
    plain = logits(load_model(base.folder, base.field))
    chosen, settings_of = find_method(method), adapt(method, **settings)
    model = chosen.wrap(chosen.load(base, ON_CPU), settings_of, base)
    assert logits(model) == pytest.approx(plain, abs=1e-4)
    train(model)
    expected = logits(model)
    assert (expected - plain).abs().max() > 0.01

    folder = tmp_path / "artifact"
    chosen.save(folder, model, full_state_dict(model, is_main=True, trainable_only=True).items(), base)
    assert logits(load_model(folder, "artifact")) == pytest.approx(expected, abs=1e-4)
    figures = chosen.prove(folder, base, [TOKENS[0].numpy()])
    assert 0 <= figures["mergeDifference"] < 1e-4
    config = json.loads((folder / ADAPTER / "adapter_config.json").read_text())
    assert (config["init_lora_weights"], config["use_dora"]) == (True, method == "DoRA")
    assert config["r"] == (8 if settings.get("initialisation") == "PiSSA" else 4)
    assert model.peft_config["default"].r == 4  # type: ignore[union-attr, operator, index, unused-ignore]


def test_pissa_begins_with_the_largest_singular_components(base: ModelChoice) -> None:
    weights = load_model(base.folder, base.field).state_dict()
    model = add_lora(load_model(base.folder, base.field), adapt("LoRA", initialisation="PiSSA").lora, 1, "b")
    for name, module in model.named_modules():
        if hasattr(module, "lora_A") and "default" in getattr(module, "lora_A", {}):
            weight = weights[name.removeprefix("base_model.model.") + ".weight"]
            product = module.lora_B["default"].weight @ module.lora_A["default"].weight * 2.0
            largest = torch.linalg.svdvals(weight)[:4]
            assert torch.linalg.svdvals(product.detach())[:4] == pytest.approx(largest, rel=0.05)


def test_pissa_refuses_a_rank_that_a_target_has_not_got(base: ModelChoice) -> None:
    method = find_method("LoRA")
    fitting = adapt("LoRA", rank=16, initialisation="PiSSA")
    method.check(fitting, base)
    with pytest.raises(BadConfiguration, match=r"spec.adapt.lora.rank is 33, .* singular components"):
        method.check(adapt("LoRA", rank=33, initialisation="PiSSA"), base)


def test_lora_plus_trains_the_second_matrices_faster(base: ModelChoice) -> None:
    method, settings = find_method("LoRA"), adapt("LoRA", learningRateRatio=16)
    model = method.wrap(load_model(base.folder, base.field), settings, base)
    optimizer = build_optimizer(model, settings.optimizer, method.rate_scales(settings))
    optimizer.prepare(0.01, apply=True)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == pytest.approx(0.16 if "lora_B" in name else 0.01)


@pytest.mark.parametrize("method", ["LoRA", "Full"])
def test_a_model_that_equals_its_base_is_refused(method: str, base: ModelChoice, tmp_path: Path) -> None:
    chosen, settings = find_method(method), adapt(method)
    model = chosen.wrap(load_model(base.folder, base.field), settings, base)
    weights = full_state_dict(model, is_main=True, trainable_only=method == "LoRA").items()
    chosen.save(tmp_path / "artifact", model, weights, base)
    with pytest.raises(BadConfiguration, match="every weight of the adapted model equals that of its base"):
        chosen.prove(tmp_path / "artifact", base, [TOKENS[0].numpy()])


def test_a_merge_that_is_wrong_is_noticed(base: ModelChoice, tmp_path: Path) -> None:
    method, settings = find_method("LoRA"), adapt("LoRA")
    model = method.wrap(load_model(base.folder, base.field), settings, base)
    train(model)
    folder = tmp_path / "artifact"
    method.save(folder, model, full_state_dict(model, is_main=True, trainable_only=True).items(), base)
    weights = load_file(folder / "model.safetensors")
    broken = next(name for name in weights if "mlp" in name and weights[name].ndim == 2)
    with torch.no_grad():
        wrong = load_model(folder, "artifact")
        wrong.get_parameter(broken).mul_(0.5)
        wrong.save_pretrained(folder)
    with pytest.raises(
        Exception, match="logits of the merged model differ from those of base and adapter by"
    ) as caught:
        method.prove(folder, base, [TOKENS[0].numpy()])
    assert getattr(caught.value, "reason", "") == "MergeMismatch"
