"""Each rank's own figures, shared in the one reduction of a step."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import torch

_STATM = Path("/proc/self/statm")
_RESIDENT_FIELD = 1


@dataclass(frozen=True, slots=True)
class RankFigures:
    """One rank in one step. Bytes are whole numbers below 2^53, so float64 keeps them."""

    own_seconds: float = 0.0
    """Its own part of the step, without waiting for the others."""
    host_bytes: float = 0.0
    """Resident memory of its process."""
    allocated_bytes: float = 0.0
    """Device memory in tensors; 0 on a CPU, as the next two."""
    reserved_bytes: float = 0.0
    """Device memory that torch's allocator holds."""
    peak_bytes: float = 0.0
    """Most device memory that was in tensors at once."""


SIZE = len(astuple(RankFigures()))


def measure(own_seconds: float, device: torch.device) -> RankFigures:
    """This rank now; asks the allocator's counters, not the device, so nothing waits."""
    if device.type != "cuda":
        return RankFigures(own_seconds, resident_bytes())
    return RankFigures(
        own_seconds,
        resident_bytes(),
        float(torch.cuda.memory_allocated(device)),
        float(torch.cuda.memory_reserved(device)),
        float(torch.cuda.max_memory_allocated(device)),
    )


def resident_bytes() -> float:
    """Resident memory of this process."""
    try:
        fields = _STATM.read_text(encoding="ascii").split()
    except OSError:
        return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the most it ever was
    return float(int(fields[_RESIDENT_FIELD]) * resource.getpagesize())


def slots(figures: RankFigures, rank: int, world_size: int) -> list[float]:
    """This rank's figures at its place among zeros: the sum over all ranks has everybody's."""
    values = [0.0] * (SIZE * world_size)
    values[SIZE * rank : SIZE * (rank + 1)] = astuple(figures)
    return values


def from_slots(values: Sequence[float]) -> list[RankFigures]:
    """Inverse of the summed `slots`, by rank."""
    return [RankFigures(*values[start : start + SIZE]) for start in range(0, len(values), SIZE)]
