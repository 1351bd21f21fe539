"""Settings of methods of adaptation that exclude each other, and what they cost."""

from __future__ import annotations

import pytest

from finetune_api.adapt import Adapt
from finetune_api.job import FineTuneJobSpec
from finetune_api.memory import adaptation_shape, layer_bytes, training_memory
from finetune_api.model import Parallelism
from finetune_api.refusals import refusals
from finetune_api.transformer import TransformerShape

MISTRAL_7B = TransformerShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, head_size=128, intermediate=14336, vocabulary=32000, tied=False
)


def spec(adapt: dict[str, object], zero: int = 2) -> FineTuneJobSpec:
    return FineTuneJobSpec.from_json_object(
        {
            "parallelism": {"zero": {"stage": zero}},
            "model": {"scratch": {"layers": 1, "hidden": 48, "heads": 4}},
            "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]},
            "pretrain": {
                "budget": {"tokens": 1000},
                "objectives": [{"name": "en", "type": "CausalLM", "source": "ui", "language": "en"}],
            },
            "adapt": {"task": {"source": "ui", "direction": "en-es"}} | adapt,
        }
    )


def told(adapt: dict[str, object], zero: int = 2) -> list[str]:
    return [str(problem).partition(":")[0] for problem in refusals(spec(adapt, zero))]


def test_all_that_excludes_each_other_is_told_at_once() -> None:
    lora = {"rank": 64, "initialisation": "PiSSA"}
    assert told({"method": "DoRA", "lora": lora}, zero=3) == [
        "spec.adapt.lora.initialisation", "spec.parallelism.zero.stage", "spec.parallelism.zero.stage",
        "spec.adapt.lora.rank",
    ]  # fmt: skip
    assert told({"method": "LoRA", "lora": lora | {"rank": 48}}, zero=2) == []
    assert told({"method": "Full", "lora": lora}, zero=3) == []


def adapt(method: str, **lora: object) -> Adapt:
    return Adapt.from_json_object(
        {"method": method, "lora": {"rank": 16} | lora, "task": {"source": "ui", "direction": "en-es"}}
    )


@pytest.mark.parametrize("targets", [["q_proj", "down_proj"], ["all-linear"]])
def test_dora_trains_a_length_for_each_output(targets: list[str]) -> None:
    lora, dora = (
        adaptation_shape(MISTRAL_7B, Parallelism(), adapt(method, targets=targets), bf16=True, gpu=True)
        for method in ("LoRA", "DoRA")
    )
    outputs = 2 * 4096 if len(targets) == 2 else 4096 + 1024 + 1024 + 4096 + 14336 + 14336 + 4096
    assert dora.trained - lora.trained == 32 * outputs
    assert layer_bytes(dora) - layer_bytes(lora) == 2 * 2 * outputs
    assert training_memory(dora, 1, 512).total > training_memory(lora, 1, 512).total


def test_qlora_counts_four_bits_of_frozen_layers() -> None:
    lora, qlora = (
        training_memory(adaptation_shape(MISTRAL_7B, Parallelism(), adapt(method), bf16=True, gpu=True), 1, 512)
        for method in ("LoRA", "QLoRA")
    )
    linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    assert lora.weights - qlora.weights == pytest.approx(linear * (2 - 0.516), rel=1e-3)
    assert qlora.weights < 0.31 * lora.weights
    assert qlora.momentary >= lora.momentary


@pytest.mark.parametrize(
    ("method", "share", "kept_layers"), [("HeadOnly", 0.018, 0), ("FixEmbeddings", 0.982, 32), ("TopLayers", 0.0602, 2)]
)
def test_a_part_is_counted_as_what_it_is(method: str, share: float, kept_layers: int) -> None:
    part = adaptation_shape(MISTRAL_7B, Parallelism(engine="DDP"), adapt(method), bf16=False, gpu=True)
    assert part.trained / MISTRAL_7B.parameters == pytest.approx(share, abs=1e-3)
    memory = training_memory(part, 1, 512)
    assert memory.weights == 4 * MISTRAL_7B.parameters
    assert memory.optimizer == 8 * part.trained
    assert memory.activations == pytest.approx(512 * (kept_layers * layer_bytes(part) + 12 * 4096))


def test_parts_that_a_model_from_scratch_has_not_got_are_refused() -> None:
    assert told({"method": "HeadOnly"}) == ["spec.adapt.method"]
    assert told({"method": "TopLayers", "topLayers": 2}) == ["spec.adapt.topLayers"]
    assert told({"method": "TopLayers", "topLayers": 1}) == told({"method": "FixEmbeddings"}) == []
