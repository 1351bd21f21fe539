"""QLoRA on the CPU: four bits while it trains, sixteen or thirty-two in the artifact."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from finetune_api.adapt import Adapt
from finetune_api.memory import NF4_BYTES
from finetune_trainer.engine.state import full_state_dict
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods import find_method
from finetune_trainer.methods.lora import ADAPTER
from finetune_trainer.models import ModelChoice, load_model
from finetune_trainer.models.placement import ON_CPU
from unit.models.families import tiny_config

TOKENS = torch.arange(3, 43)[None]
ADAPT = Adapt.from_json_object(
    {
        "method": "QLoRA",
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
        "task": {"source": "ui", "direction": "en-es"},
    }
)


def save(family: str, folder: Path) -> ModelChoice:
    torch.manual_seed(0)
    config = tiny_config(family)
    if family == "llama":
        config.hidden_size, config.intermediate_size = 128, 256
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    return ModelChoice("base", "base", folder, "spec.model.from")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        value: torch.Tensor = model.eval()(input_ids=TOKENS, use_cache=False).logits
    return value


def test_the_base_has_four_bits_and_the_artifact_is_the_adapter_merged_into_the_base_as_it_was(tmp_path: Path) -> None:
    base, method = save("llama", tmp_path / "base"), find_method("QLoRA")
    method.check(ADAPT, base)
    model = method.wrap(method.load(base, ON_CPU), ADAPT, base)
    quantised = [m for m in model.modules() if isinstance(m, Linear4bit)]
    assert len(quantised) == 2 * 7
    assert {(vars(m.weight)["quant_type"], m.compute_dtype) for m in quantised} == {("nf4", torch.float32)}
    state = vars(quantised[0].weight)["quant_state"]
    nested = state.state2.absmax.numel() * 4
    held = quantised[0].weight.nbytes + state.absmax.nbytes + nested
    weights = quantised[0].in_features * quantised[0].out_features
    assert held == pytest.approx(NF4_BYTES * weights, rel=0.01)

    plain = logits(load_model(base.folder, base.field))
    assert 0 < float((logits(model) - plain).norm() / plain.norm()) < 0.3
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(4):
        loss = model.train()(input_ids=TOKENS, labels=TOKENS, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1
    artifact = tmp_path / "artifact"
    method.save(artifact, model, full_state_dict(model, is_main=True, trainable_only=True).items(), base)
    assert method.prove(artifact, base, [TOKENS[0].numpy()])["mergeDifference"] < 1e-4
    merged, before = load_file(artifact / "model.safetensors"), load_file(base.folder / "model.safetensors")
    assert merged.keys() == before.keys()
    adapter = load_file(artifact / ADAPTER / "adapter_model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    a, b = (adapter[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
    assert torch.allclose(merged[f"{name}.weight"], before[f"{name}.weight"] + 2.0 * b @ a, atol=1e-5)


def test_transposed_layers_are_refused(tmp_path: Path) -> None:
    base = save("gpt2", tmp_path / "base")
    with pytest.raises(BadConfiguration, match="a gpt2 model keeps its weights transposed"):
        find_method("QLoRA").check(ADAPT, base)


def test_a_folder_that_cannot_be_loaded_is_told_as_for_lora(tmp_path: Path) -> None:
    base = save("llama", tmp_path / "base")
    (base.folder / "model.safetensors").unlink()
    with pytest.raises(BadConfiguration, match=r"spec\.model\.from: .* cannot be loaded"):
        find_method("QLoRA").load(base, ON_CPU)
