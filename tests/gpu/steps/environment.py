"""E: what the machine has, and what torch makes of it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import torch

from finetune_trainer.models.segment_attention import FAMILIES
from gpu.bundle import EXPECTED_THERE, MODULES, OPTIONAL
from gpu.measure import Recorder, the_device
from gpu.shapes import Scale

QUERY = "name,driver_version,memory.total,power.limit,clocks.max.sm,compute_cap"


def run(record: Recorder, _: Scale) -> None:
    """Versions are in every line; here is the rest."""
    record.case("machine", machine)
    record.case("barrier", barrier)


def machine() -> dict[str, Any]:
    """Card, driver, memory of the host, and modules that are missing."""
    wanted = {*MODULES, *EXPECTED_THERE} - {*OPTIONAL}
    missing = sorted(name for name in wanted if importlib.util.find_spec(name) is None)
    figures: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "host_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": sys.version.split()[0],
        "families": len(FAMILIES),
        "missing_modules": missing,
        "checks": {"no module is missing": not missing},
    }
    if the_device().type == "cuda":
        told = subprocess.run(
            ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"], capture_output=True, text=True, check=True
        )
        figures |= {"nvidia_smi": told.stdout.strip(), "cuda": torch.version.cuda, "varlen": varlen_arguments()}
    return figures


def varlen_arguments() -> list[str]:
    """What attention by boundaries takes in this release of torch."""
    import inspect

    from torch.nn.attention.varlen import varlen_attn

    return list(inspect.signature(varlen_attn).parameters)


def barrier() -> Mapping[str, Any]:
    """Which backend of a rank's group carries `barrier()`, by the names of the profiler's events.

    Ranks wait for files in a gloo group of its own, whatever this says.
    """
    from torch import distributed
    from torch.profiler import ProfilerActivity, profile

    backend = "cpu:gloo,cuda:nccl" if the_device().type == "cuda" else "gloo"
    store = distributed.HashStore()  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        distributed.barrier()
    names = {event.key.partition(":")[0] for event in profiler.key_averages()}
    distributed.destroy_process_group()
    by = sorted(names & {"gloo", "nccl"})
    return {"group": backend, "barrier_by": by, "checks": {"one backend carries it": len(by) == 1}}
