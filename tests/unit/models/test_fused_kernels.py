"""When Liger's kernels are used; that they compute the same needs a GPU."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from families import tiny
from finetune_trainer.models.fused_kernels import use_fused_kernels

GPU = torch.device("cuda", 0)


class Norm(nn.Module):
    """LigerRMSNorm, played on whatever device there is."""

    fails = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def to(self, *_: Any) -> Norm:
        return self

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        if self.fails:
            raise RuntimeError("Failed to find C compiler.\nPlease specify one.")
        return self.weight


def on_the_cpu(make: Callable[..., torch.Tensor], *size: int, device: torch.device | None = None) -> torch.Tensor:
    assert device in (None, GPU)
    return make(*size)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, bool]]]:
    """Liger, as far as it is called; what it was asked for."""
    calls: list[tuple[str, dict[str, bool]]] = []

    def apply(model: Any, **kernels: bool) -> None:
        calls.append((model.config.model_type, kernels))

    patch = types.SimpleNamespace(
        MODEL_TYPE_TO_APPLY_LIGER_FN={"mistral": None, "mixtral": None}, _apply_liger_kernel_to_instance=apply
    )
    monkeypatch.setitem(sys.modules, "liger_kernel", types.ModuleType("liger_kernel"))
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", types.SimpleNamespace(LigerRMSNorm=Norm))
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers.monkey_patch", patch)
    monkeypatch.setattr(torch, "ones", partial(on_the_cpu, torch.ones))
    return calls


def test_a_family_that_liger_knows_uses_its_kernels_but_not_its_losses(asked: list[Any]) -> None:
    assert use_fused_kernels(tiny("mistral"), GPU) == "kernels of Liger for mistral: norms, MLP, rotary embeddings"
    ((family, kernels),) = asked
    assert family == "mistral"
    assert {name for name, wanted in kernels.items() if wanted} == {"rms_norm", "swiglu", "geglu", "rope"}
    assert {name for name, wanted in kernels.items() if not wanted} == {"cross_entropy", "fused_linear_cross_entropy"}


def test_what_stands_in_the_way_is_said_and_nothing_changes(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("mistral")
    assert use_fused_kernels(model, torch.device("cpu")) == "kernels of torch: those of Liger are for GPUs"
    assert use_fused_kernels(tiny("qwen2"), GPU) == "kernels of torch: Liger does not know qwen2 models"
    monkeypatch.setattr(Norm, "fails", True)
    assert use_fused_kernels(model, GPU) == "kernels of torch: those of Liger fail here: Failed to find C compiler."
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", None)
    assert use_fused_kernels(model, GPU) == "kernels of torch: liger-kernel is not installed"
    assert asked == []
