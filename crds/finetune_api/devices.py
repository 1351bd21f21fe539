"""Accelerators, by their data sheets."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One model of device."""

    title: str
    """For people."""
    name_part: str
    """Part of the name that its driver gives it."""
    peak_flops: float
    """Dense bfloat16 FLOP/s."""
    memory_bytes: int


ACCELERATORS = (
    Accelerator("B200", "B200", 2.25e15, 180 * GIB),
    Accelerator("H200", "H200", 989e12, 141 * GIB),
    Accelerator("H100 PCIe", "H100 PCIe", 756e12, 80 * GIB),
    Accelerator("H100 NVL", "H100 NVL", 835e12, 94 * GIB),
    Accelerator("H100 SXM", "H100", 989e12, 80 * GIB),
    Accelerator("A100 80 GB", "A100", 312e12, 80 * GIB),
)
"""The first whose part fits a name is meant."""


def find_accelerator(name: str) -> Accelerator | None:
    """The accelerator that a driver calls `name`; None if it is not in the table."""
    return next((device for device in ACCELERATORS if device.name_part in name), None)
