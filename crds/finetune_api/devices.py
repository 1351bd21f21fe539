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
    Accelerator("GB200", "GB200", 2.5e15, 186 * GIB),
    Accelerator("GH200", "GH200", 989e12, 96 * GIB),
    Accelerator("B200", "B200", 2.25e15, 180 * GIB),
    Accelerator("H200", "H200", 989e12, 141 * GIB),
    Accelerator("H100 PCIe", "H100 PCIe", 756e12, 80 * GIB),
    Accelerator("H100 NVL", "H100 NVL", 835e12, 94 * GIB),
    Accelerator("H100 SXM", "H100", 989e12, 80 * GIB),
    Accelerator("A100 80 GB", "A100", 312e12, 80 * GIB),
    Accelerator("A10G", "A10G", 70e12, 24 * GIB),
    Accelerator("A10", "A10", 125e12, 24 * GIB),
    Accelerator("L40S", "L40S", 362e12, 48 * GIB),
    Accelerator("L40", "L40", 181e12, 48 * GIB),
    Accelerator("L4", "L4", 121e12, 24 * GIB),
    Accelerator("RTX 6000 Ada", "RTX 6000 Ada", 364e12, 48 * GIB),
    Accelerator("RTX 5090", "RTX 5090", 209.5e12, 32 * GIB),
    Accelerator("RTX 4090", "RTX 4090", 165e12, 24 * GIB),
)
"""The first whose part fits a name is meant: longer names before those that they contain."""


def find_accelerator(name: str) -> Accelerator | None:
    """The accelerator that a driver calls `name`; None if it is not in the table."""
    return next((device for device in ACCELERATORS if device.name_part in name), None)
