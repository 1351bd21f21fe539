"""Heads of tasks: drawn by a seed, trained and saved by every method, on encoders and causal models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from finetune_api.adapt import Adapt
from finetune_api.registries import METHODS
from finetune_trainer.engine.state import full_state_dict
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods import find_method
from finetune_trainer.models import ON_CPU, Head, ModelChoice, fit_to_model, load_model
from tiny_encoder import write_body

WORDS = [f"w{number}" for number in range(30)]
HEAD = Head("AutoModelForSequenceClassification", ("bad", "good", "so"), pad_id=0, may_be_new=True, seed=3)
TOKENS = torch.tensor([[1, 5, 6, 7, 2], [1, 8, 9, 2, 0]])
MASK = (TOKENS != 0).long()


def make(folder: Path, family: str) -> ModelChoice:
    return ModelChoice("base", "base", write_body(folder, WORDS, family), "spec.model.from", HEAD)


def adapt(method: str) -> Adapt:
    settings = {"rank": 4, "alpha": 8, "dropout": 0.0}
    task = {"type": "Classification", "source": "ui"}
    return Adapt.from_json_object({"method": method, "lora": settings, "topLayers": 1, "task": task})


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        value: torch.Tensor = model.eval()(input_ids=TOKENS, attention_mask=MASK).logits
    return value


FAMILIES = {"bert": [name for name, row in METHODS.items() if not row.four_bits], "roberta": ["LoRA", "HeadOnly"],
            "llama": ["LoRA", "Full"], "gpt2": ["LoRA", "TopLayers"]}  # fmt: skip


@pytest.mark.parametrize(("family", "method"), [(name, method) for name, some in FAMILIES.items() for method in some])
def test_every_method_trains_a_new_head_and_saves_a_whole_model(method: str, family: str, tmp_path: Path) -> None:
    base, chosen, settings = make(tmp_path / "base", family), find_method(method), adapt(method)
    chosen.check(settings, base)
    start = logits(load_model(base.folder, base.field, HEAD))
    model = chosen.wrap(chosen.load(base, ON_CPU), settings, base)
    assert torch.equal(logits(model), start), "nothing changes at first, and a head of the same seed is the same"
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.02)
    for _ in range(3):
        found = model.train()(input_ids=TOKENS, attention_mask=MASK).logits
        torch.nn.functional.cross_entropy(found, torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path / "artifact"
    is_adapter = METHODS[method].adapter
    chosen.save(folder, model, full_state_dict(model, is_main=True, trainable_only=is_adapter).items(), base)
    chosen.prove(folder, base, [np.array([1, 5, 6, 2], np.int32)])
    saved = AutoModelForSequenceClassification.from_pretrained(folder)
    assert saved.config.id2label == {0: "bad", 1: "good", 2: "so"}
    assert logits(saved) == pytest.approx(logits(model), abs=1e-4)
    before, after = load_model(base.folder, base.field, HEAD).state_dict(), saved.state_dict()
    changed = {name for name, value in after.items() if not torch.allclose(value, before[name])}
    head = {name for name in after if not name.startswith(f"{saved.base_model_prefix}.")}
    assert head <= changed, "the head is trained by every method"
    if method == "HeadOnly":
        assert changed == head
    if method in ("LoRA", "TopLayers"):
        assert not any("embed" in name or "wte" in name for name in changed)


@pytest.mark.parametrize("method", ["LoRA", "HeadOnly"])
def test_a_head_that_learned_nothing_is_noticed(method: str, tmp_path: Path) -> None:
    base, chosen, settings = make(tmp_path / "base", "bert"), find_method(method), adapt(method)
    model = chosen.wrap(chosen.load(base, ON_CPU), settings, base)
    weights = full_state_dict(model, is_main=True, trainable_only=METHODS[method].adapter).items()
    chosen.save(tmp_path / "artifact", model, weights, base)
    with pytest.raises(BadConfiguration, match="every weight of the adapted model equals that of its base"):
        chosen.prove(tmp_path / "artifact", base, [np.array([1, 5, 2], np.int32)])


def test_a_model_without_the_head_that_must_be_there_is_refused(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "bert")
    with pytest.raises(BadConfiguration, match=r"has no weights for classifier.bias, classifier.weight of a Bert"):
        load_model(base.folder, base.field, Head(HEAD.model_class))


def test_a_head_that_is_there_goes_on_with_its_own_labels_in_their_order(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "bert")
    own = replace(HEAD, labels=("so", "bad", "good"))
    load_model(base.folder, base.field, own).save_pretrained(tmp_path / "trained")
    assert fit_to_model(HEAD, tmp_path / "trained", "f").labels == ("so", "bad", "good")
    assert fit_to_model(HEAD, base.folder, "f") == HEAD, "a body has no labels"
    with pytest.raises(BadConfiguration, match="for the labels so, bad, good, and the training split has bad, new"):
        fit_to_model(replace(HEAD, labels=("new", "bad")), tmp_path / "trained", "f")
    with pytest.raises(BadConfiguration, match="gives a text one label, and the data have any number of labels a"):
        fit_to_model(replace(HEAD, has_label_sets=True), tmp_path / "trained", "f")
