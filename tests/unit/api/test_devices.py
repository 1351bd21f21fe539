"""Accelerators are found by the names that drivers give them."""

from __future__ import annotations

import pytest

from finetune_api.devices import ACCELERATORS, find_accelerator


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("NVIDIA GB200", "GB200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-80GB", "A100 80 GB"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
    ],
)
def test_the_longest_name_is_meant(name: str, title: str) -> None:
    found = find_accelerator(name)
    assert found is not None
    assert found.title == title


def test_every_accelerator_can_be_found() -> None:
    assert [find_accelerator(device.name_part) for device in ACCELERATORS] == list(ACCELERATORS)


def test_others_are_not_known() -> None:
    assert find_accelerator("Tesla K80") is None
