"""Jobs and runtimes go together; those that are shipped do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.model import Model, Parallelism
from finetune_api.runtime import ClusterFineTuneRuntime, FineTuneRuntime, RuntimeSpec, pod_runtime
from finetune_api.runtime_capacity import accelerators, bytes_of, lacking_accelerators, lacking_host_memory

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


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("64Gi", 64 * 2**30), ("1.5G", 1_500_000_000), ("2e9", 2_000_000_000), ("128974848", 128974848), ("3Ki", 3072)],
)
def test_quantities_are_bytes(quantity: str, expected: int) -> None:
    assert bytes_of(quantity) == expected


def new_7b(**changes: Any) -> FineTuneJobSpec:
    scratch = {"layers": 32, "hidden": 4096, "heads": 32, "kvHeads": 8, "tieEmbeddings": False}
    spec = {
        "runtimeRef": {"name": "cuda"},
        "model": {"scratch": scratch, "tokenizer": {"train": {"vocabularySize": 32000}}},
        "parallelism": {"nodes": 1, "processesPerNode": 2, "zero": {"stage": 3, "offload": "CPU"}},
        "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]},
        "pretrain": {
            "budget": {"tokens": 1000000},
            "objectives": [{"name": "en", "type": "CausalLM", "source": "ui", "language": "en"}],
        },
    }
    return FineTuneJobSpec.from_json_object(spec | changes)


def test_a_pod_has_the_memory_that_offloading_and_copies_for_checkpoints_take() -> None:
    """Float32 copies and both moments of all weights are there twice; weights in BF16 are offloaded only."""
    small = runtime(**{"nvidia.com/gpu": "2", "memory": "64Gi"})
    (problem,) = lacking_host_memory(new_7b(), small, "cuda")
    assert (problem.field, problem.reason) == ("spec.pretrain", "RuntimeTooSmall")
    assert "takes about 176.4 GiB" in problem.message
    assert "offloaded 94.4 GiB, checkpoint 80.9 GiB" in problem.message
    assert "limits it to 64.0 GiB: raise resources.limits.memory" in problem.message
    assert lacking_host_memory(new_7b(), runtime(**{"nvidia.com/gpu": "2", "memory": "180Gi"}), "cuda") == []
    assert (
        lacking_host_memory(
            new_7b(checkpoint={"async": False}), runtime(**{"nvidia.com/gpu": "2", "memory": "98Gi"}), ""
        )
        == []
    )


def test_what_is_not_known_is_not_refused() -> None:
    spec = new_7b()
    assert lacking_host_memory(spec, runtime(**{"nvidia.com/gpu": "2"}), "cuda") == []
    assert lacking_host_memory(spec, runtime(memory="1Gi"), "cpu") == []
    other = spec.model_copy(update={"model": Model.from_json_object({"from": {"uri": "file:///m"}})})
    assert lacking_host_memory(other, runtime(**{"nvidia.com/gpu": "2", "memory": "1Gi"}), "cuda") == []


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
        assert lacking_host_memory(job.spec, named, reference.name) == []
        assert accelerators(named) is not None, "the samples are for GPUs"
