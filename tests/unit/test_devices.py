"""Which device a rank gets, with torch's answers played: no GPU is needed to find that there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finetune_trainer import devices
from finetune_trainer.devices import rank_device
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
