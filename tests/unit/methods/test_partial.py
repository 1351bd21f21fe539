"""Methods that train a part of a model, by what it is and not by what its family calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from finetune_api.adapt import Adapt
from finetune_api.memory import adaptation_shape
from finetune_api.model import Parallelism
from finetune_api.transformer import shape_of_model
from finetune_trainer.engine.state import full_state_dict
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods import find_method
from finetune_trainer.models import ModelChoice, load_model
from unit.models.families import FAMILIES, tiny_config

TOKENS = torch.arange(3, 43)[None]
LAST_LAYER = {
    "gpt2": "transformer.h.1.", "bloom": "transformer.h.1.", "gpt_neox": "gpt_neox.layers.1.",
    "opt": "model.decoder.layers.1.",
}  # fmt: skip
EMBEDDINGS = ("embed_tokens", "embed_positions", "wte", "wpe", "embed_in", "word_embeddings.")


def adapt(method: str, layers: int = 1) -> Adapt:
    task = {"source": "ui", "direction": "en-es"}
    return Adapt.from_json_object({"method": method, "topLayers": layers, "task": task})


def save(family: str, folder: Path, **changes: object) -> ModelChoice:
    torch.manual_seed(0)
    config = tiny_config(family)
    for name, value in changes.items():
        setattr(config, name, value)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    return ModelChoice("base", "base", folder, "spec.model.from")


def wrapped(method: str, base: ModelChoice) -> PreTrainedModel:
    model = load_model(base.folder, base.field)
    assert find_method(method).wrap(model, adapt(method), base) is model
    return model


def trained(model: PreTrainedModel) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("family", list(FAMILIES))
def test_parts_are_found_in_every_family(family: str, tmp_path: Path) -> None:
    base = save(family, tmp_path / "base")
    names = {name for name, _ in load_model(base.folder, base.field).named_parameters()}
    last = LAST_LAYER.get(family, "model.layers.1.")
    assert trained(wrapped("TopLayers", base)) == {name for name in names if name.startswith(last)} != set()

    head = {name for name in names if name.startswith(("lm_head.", "embed_out."))}
    fixed = {name for name in names if any(part in name for part in EMBEDDINGS)}
    assert trained(wrapped("FixEmbeddings", base)) == names - fixed != names
    if head:
        assert trained(wrapped("HeadOnly", base)) == head
    else:
        with pytest.raises(BadConfiguration, match="is its input embedding"):
            find_method("HeadOnly").check(adapt("HeadOnly"), base)


@pytest.mark.parametrize("method", ["HeadOnly", "FixEmbeddings", "TopLayers"])
def test_only_the_part_changes_and_the_memory_model_counts_it(method: str, tmp_path: Path) -> None:
    base = save("llama", tmp_path / "base", tie_word_embeddings=False)
    model = wrapped(method, base)
    names = trained(model)
    shape = shape_of_model(base.folder)
    assert shape is not None
    counted = adaptation_shape(shape, Parallelism(), adapt(method), bf16=False, gpu=False)
    assert counted.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(input_ids=TOKENS, labels=TOKENS).loss.backward()
    optimizer.step()
    artifact = tmp_path / "artifact"
    find_method(method).save(artifact, model, full_state_dict(model, is_main=True).items(), base)
    find_method(method).prove(artifact, base, [])
    before, after = load_file(base.folder / "model.safetensors"), load_file(artifact / "model.safetensors")
    assert {name for name in before if not torch.equal(before[name], after[name])} == names


def test_more_layers_than_there_are_is_refused(tmp_path: Path) -> None:
    base = save("gpt_neox", tmp_path / "base")
    method = find_method("TopLayers")
    method.check(adapt("TopLayers", 2), base)
    with pytest.raises(BadConfiguration, match="topLayers is 3, and the model has 2 layers"):
        method.check(adapt("TopLayers", 3), base)
