"""Jobs and runtimes go together; those that are shipped do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.job import FineTuneJob
from finetune_api.model import Parallelism
from finetune_api.runtime import ClusterFineTuneRuntime, FineTuneRuntime, RuntimeSpec, pod_runtime
from finetune_api.runtime_capacity import accelerators, lacking_accelerators

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests"
KINDS: dict[str, type[FineTuneRuntime | ClusterFineTuneRuntime]] = {
    "FineTuneRuntime": FineTuneRuntime,
    "ClusterFineTuneRuntime": ClusterFineTuneRuntime,
}


def runtime(**limits: str) -> RuntimeSpec:
    return RuntimeSpec.model_validate({"image": "x", "resources": {"limits": limits}})


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"nvidia.com/gpu": "4", "cpu": "8"}, ("nvidia.com/gpu", 4)),
        ({"nvidia.com/mig-3g.40gb": "2"}, ("nvidia.com/mig-3g.40gb", 2)),
        ({"amd.com/gpu": "8"}, ("amd.com/gpu", 8)),
        ({"cpu": "8", "rdma/hca": "1"}, None),
        ({}, None),
    ],
)
def test_accelerators_of_a_pod(limits: dict[str, str], expected: tuple[str, int] | None) -> None:
    assert accelerators(runtime(**limits)) == expected


@pytest.mark.parametrize(
    ("processes", "gpus", "fits"), [(1, "1", True), (2, "8", True), (8, "8", True), (8, "1", False)]
)
def test_every_process_has_an_accelerator(processes: int, gpus: str, fits: bool) -> None:
    found = lacking_accelerators(Parallelism(processes_per_node=processes), runtime(**{"nvidia.com/gpu": gpus}), "cuda")
    assert [problem.reason for problem in found] == ([] if fits else ["RuntimeTooSmall"])


def documents(folder: str) -> list[dict[str, Any]]:
    files = sorted((MANIFESTS / folder).glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def test_every_sample_fits_the_runtime_that_it_names() -> None:
    everything = [*documents("samples"), *documents("runtimes")]
    runtimes = {
        (found["kind"], found["metadata"]["name"]): pod_runtime(KINDS[found["kind"]].from_json_object(found))
        for found in everything
        if found["kind"] in KINDS
    }
    jobs = [FineTuneJob.from_json_object(found) for found in everything if found["kind"] == "FineTuneJob"]
    assert len(jobs) == len(list((MANIFESTS / "samples").glob("*.yaml"))) - 1
    for job in jobs:
        reference = job.spec.runtime_ref
        named = runtimes[reference.kind, reference.name]
        assert lacking_accelerators(job.spec.parallelism, named, reference.name) == []
        assert accelerators(named) is not None, "the samples are for GPUs"
