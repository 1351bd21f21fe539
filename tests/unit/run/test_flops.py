"""Model FLOPs utilization against published and worked values, and against what torch counts."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import MistralConfig, MistralForCausalLM

from finetune_api import labels
from finetune_api.adapt import Lora
from finetune_trainer.batching.interface import StepBatch
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods.lora import add_lora
from finetune_trainer.run.flops import ModelFlops, model_flops, peak_flops
from finetune_trainer.run.reporter import Utilization

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CPU = torch.device("cpu")


def mistral() -> MistralForCausalLM:
    config = MistralConfig(
        vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=4, sliding_window=None,
    )  # fmt: skip
    config._attn_implementation = "eager"
    return MistralForCausalLM(config)


def step_batch(tokens: int, length: int, padding: int = 0) -> StepBatch:
    return StepBatch(
        arm="en", micro_batches=(), loss_units=tokens, row_tokens=tokens + padding, padding_tokens=padding,
        squared_lengths=tokens * length, examples=tokens // length,
    )  # fmt: skip


def test_mistral_7b_has_the_sizes_that_are_published() -> None:
    with torch.device("meta"):
        model = MistralForCausalLM(MistralConfig())  # its defaults are those of Mistral-7B-v0.1
    assert model_flops(model) == ModelFlops(trained=7_110_393_856, frozen=0, attention=32 * 4096)
    per_token = model_flops(model).of_tokens(2048, 2048 * 2048)["full"] / 2048
    assert per_token == pytest.approx(45.9e9, rel=0.001)


@pytest.mark.parametrize(("length", "rate"), [(2048, 8621), (4096, 8056), (8192, 7121)])
def test_40_percent_of_an_h200_are_so_many_tokens_a_second(length: int, rate: int) -> None:
    flops = ModelFlops(trained=7_110_393_856, frozen=0, attention=32 * 4096)
    seconds_at_peak = Utilization(flops, 989e12, ranks=1).of(step_batch(length, length))["full"]
    assert 0.4 / (seconds_at_peak / length) == pytest.approx(rate, rel=0.001)


def test_a_small_model_at_300_000_tokens_a_second() -> None:
    flops = ModelFlops(trained=134_500_000, frozen=0, attention=30 * 576)
    seconds_at_peak = Utilization(flops, 989e12, ranks=1).of(step_batch(512, 512))["full"]
    assert seconds_at_peak / 512 * 300_000 == pytest.approx(0.277, abs=0.0005)


def counted_by_torch(model: torch.nn.Module, length: int) -> int:
    tokens = torch.arange(length).unsqueeze(0)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=tokens, labels=tokens).loss.backward()
    return int(counter.get_total_flops())


def test_torch_counts_the_same_for_all_weights() -> None:
    model = mistral()
    assert counted_by_torch(model, 256) == model_flops(model).of_tokens(256, 256 * 256)["full"]


def test_torch_counts_nearly_the_same_for_lora() -> None:
    model = add_lora(mistral(), Lora(rank=16, targets=LINEAR), seed=0, base="tiny")
    own = model_flops(model)
    assert own.frozen == model_flops(mistral()).trained
    # The first layer needs no gradient of its input.
    assert counted_by_torch(model, 256) / own.of_tokens(256, 256 * 256)["full"] == pytest.approx(0.986, abs=0.02)


def test_causal_counts_half_of_the_pairs() -> None:
    found = ModelFlops(trained=10, frozen=5, attention=2).of_tokens(100, 1000)
    assert found == {"full": 8000.0 + 24_000.0, "causal": 8000.0 + 12_000.0}


def test_padding_is_no_use() -> None:
    utilization = Utilization(ModelFlops(10, 0, 2), 1e6, ranks=2)
    assert utilization.of(step_batch(100, 10, padding=60)) == utilization.of(step_batch(100, 10))
    assert Utilization(ModelFlops(10, 0, 2), None, ranks=2).of(step_batch(100, 10)) == {}


def test_a_cpu_has_no_peak_unless_the_runtime_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_flops(CPU) is None
    monkeypatch.setenv(labels.ENV_PEAK_FLOPS, "1.5e11")
    assert peak_flops(CPU) == 1.5e11
    for wrong in ("fast", "-1", "inf", "0"):
        monkeypatch.setenv(labels.ENV_PEAK_FLOPS, wrong)
        with pytest.raises(BadConfiguration, match=f"{labels.ENV_PEAK_FLOPS}={wrong} is not a number"):
            peak_flops(CPU)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("Tesla T4", None),
    ],
)
def test_devices_by_their_names(name: str, peak: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert peak_flops(torch.device("cuda", 0)) == peak
