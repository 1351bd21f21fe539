"""Whether the runtime of a job gives its processes the accelerators that they take."""

from __future__ import annotations

import re
from decimal import Decimal

from finetune_api.figures import bytes_
from finetune_api.host_memory import LESS_HOST_MEMORY, host_memory_of_stages, host_parts
from finetune_api.job import FineTuneJobSpec
from finetune_api.model import Parallelism
from finetune_api.problems import Problem
from finetune_api.runtime import CommonRuntimeSpec
from finetune_api.transformer import shape_of_new_model

_ACCELERATOR = re.compile(r"(nvidia\.com/(gpu|mig-.+)|amd\.com/gpu|habana\.ai/gaudi|gpu\.intel\.com/.+)")
"""Extended resources of which a process takes one."""
_POWERS = {"": 0, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def accelerators(runtime: CommonRuntimeSpec) -> tuple[str, int] | None:
    """Resource and number of the accelerators of a pod; None for a runtime of CPUs."""
    for resource, quantity in {**runtime.resources.requests, **runtime.resources.limits}.items():
        if _ACCELERATOR.fullmatch(resource) and quantity.isdecimal():
            return resource, int(quantity)
    return None


def bytes_of(quantity: str) -> int:
    """Bytes of a quantity as Kubernetes writes it: 64Gi, 1.5G, 2e9."""
    number = quantity.rstrip("mkKMGTPEi")
    unit = quantity[len(number) :]
    if unit.endswith("i"):
        return int(Decimal(number) * 1024 ** ("KMGTPE".index(unit[0]) + 1))
    return int(Decimal(number) * Decimal(10) ** _POWERS[unit])


def lacking_host_memory(spec: FineTuneJobSpec, runtime: CommonRuntimeSpec, name: str) -> list[Problem]:
    """Training stages that the memory limit of runtime `name` cannot hold beside its GPUs.

    Of a new model only: the sizes of another one are known where its files are. Its stages check themselves.
    """
    limit, shape = runtime.resources.limits.get("memory"), shape_of_new_model(spec.model)
    if limit is None or shape is None or accelerators(runtime) is None:
        return []
    stages = host_memory_of_stages(spec, shape, bf16=spec.parallelism.precision != "FP32")
    return [
        Problem(
            f"spec.{stage}",
            f"a pod of it takes about {bytes_(memory.total)} of its machine's memory ({host_parts(memory)}), but "
            f"runtime {name} limits it to {bytes_(bytes_of(limit))}: {LESS_HOST_MEMORY}",
            "RuntimeTooSmall",
        )
        for stage, memory in stages.items()
        if memory.total > bytes_of(limit)
    ]


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
