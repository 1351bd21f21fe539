"""Which device a rank gets, with torch's answers played: no GPU is needed to find that there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finetune_trainer import devices
from finetune_trainer.devices import DeviceFacts, compare_devices, device_facts, rank_device
from finetune_trainer.errors import BadConfiguration, Infrastructure


def play(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


def test_every_rank_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, 8)
    assert [rank_device(rank, 8) for rank in (0, 7)] == [torch.device("cuda", 0), torch.device("cuda", 7)]


def test_fewer_gpus_than_ranks_are_told_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, 1)
    with pytest.raises(BadConfiguration, match=r"8 processes a pod, but torch sees 1 GPU$") as caught:
        rank_device(0, 8)
    assert "processesPerNode to 1" in caught.value.remedy


def test_a_machine_without_a_gpu_has_its_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    play(monkeypatch, 0)
    monkeypatch.setattr(devices, "_DEVICE_FILE", tmp_path / "none")
    assert rank_device(3, 8) == torch.device("cpu")


@pytest.mark.parametrize("wanted", [True, False])
def test_a_gpu_that_torch_cannot_use_is_no_silent_cpu(
    wanted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    play(monkeypatch, 0)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    (tmp_path / "nvidiactl").touch()
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\n")
    monkeypatch.setattr(devices, "_DEVICE_FILE", tmp_path / "nvidiactl")
    monkeypatch.setattr(devices, "_DRIVER_FILE", tmp_path / "version")
    if not wanted:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert rank_device(0, 1) == torch.device("cpu")
        return
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(Infrastructure, match=r"driver 535\.183\.01\), but torch, built for CUDA 13\.2, cannot use it"):
        rank_device(0, 1)


A100 = DeviceFacts("NVIDIA A100-SXM4-80GB", 80, has_bf16=True)
L4 = DeviceFacts("NVIDIA L4", 24, has_bf16=True)
T4 = DeviceFacts("Tesla T4", 16, has_bf16=False)


def test_a_gang_of_equal_devices_says_nothing() -> None:
    assert compare_devices([A100] * 8, "Auto") is None
    assert compare_devices([device_facts(torch.device("cpu"))] * 2, "Auto") is None


def test_a_gang_of_different_cards_says_which_and_what_follows() -> None:
    said = compare_devices([A100, A100, L4, A100], "Auto")
    assert said == (
        "the cards of this gang differ: ranks 0–1 NVIDIA A100-SXM4-80GB (80 GiB), rank 2 NVIDIA L4 (24 GiB), "
        "rank 3 NVIDIA A100-SXM4-80GB (80 GiB); the micro-batch is what fits NVIDIA L4 (24 GiB), and steps wait "
        "for the slowest"
    )


@pytest.mark.parametrize("precision", ["Auto", "BF16"])
def test_cards_with_and_without_bfloat16_do_not_train_together(precision: str) -> None:
    with pytest.raises(
        BadConfiguration, match=r"cards without \(Tesla T4\): rank 0 NVIDIA L4 \(24 GiB\), rank 1"
    ) as caught:
        compare_devices([L4, T4], precision)
    assert "precision to FP32" in caught.value.remedy
    assert "differ" in str(compare_devices([L4, T4], "FP32"))


def test_a_rank_without_a_gpu_among_others_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"rank 0 NVIDIA L4 \(24 GiB\), rank 1 a CPU"):
        compare_devices([L4, device_facts(torch.device("cpu"))], "FP32")
