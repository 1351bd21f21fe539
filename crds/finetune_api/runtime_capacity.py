"""Whether the runtime of a job gives its processes the accelerators that they take."""

from __future__ import annotations

import re

from finetune_api.model import Parallelism
from finetune_api.problems import Problem
from finetune_api.runtime import CommonRuntimeSpec

_ACCELERATOR = re.compile(r"(nvidia\.com/(gpu|mig-.+)|amd\.com/gpu|habana\.ai/gaudi|gpu\.intel\.com/.+)")
"""Extended resources of which a process takes one."""


def accelerators(runtime: CommonRuntimeSpec) -> tuple[str, int] | None:
    """Resource and number of the accelerators of a pod; None for a runtime of CPUs."""
    for resource, quantity in {**runtime.resources.requests, **runtime.resources.limits}.items():
        if _ACCELERATOR.fullmatch(resource) and quantity.isdecimal():
            return resource, int(quantity)
    return None


def lacking_accelerators(parallelism: Parallelism, runtime: CommonRuntimeSpec, name: str) -> list[Problem]:
    """What of a job its runtime `name` cannot hold: every process takes an accelerator of its own."""
    found = accelerators(runtime)
    processes = parallelism.processes_per_node
    if found is None or processes <= found[1]:
        return []
    resource, number = found
    return [
        Problem(
            "spec.parallelism.processesPerNode",
            f"{processes} processes a pod, but runtime {name} gives a pod {number} of {resource}, and each process "
            f"takes one: name a runtime with {processes} in a new job, or give this one more",
            "RuntimeTooSmall",
        )
    ]
