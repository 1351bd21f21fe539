"""Runtimes that a job cannot use: what its condition says, and that it goes on once they are mended."""

from __future__ import annotations

import json

from unit.reconcile.world import World, job_object, runtime_object


def test_a_runtime_that_cannot_be_used_is_told_apart_from_one_that_is_missing() -> None:
    world = World(job_object())
    world.cluster.put(runtime_object(image=7, environment=[{"name": "TOKEN", "value": {"secret": "canary"}}]))
    world.settle()
    assert world.condition("Valid") == ("False", "RuntimeNotReadable")
    assert "spec.environment[0].value" in world.message("Valid")
    assert "spec.image" in world.message("Valid")
    assert "canary" not in json.dumps(world.job)
    world.cluster.put(runtime_object())
    world.settle()
    assert world.status.state == "Running"


def test_a_runtime_whose_pods_have_too_little_memory_for_a_stage_is_told_with_both_numbers() -> None:
    world = World(job_object())
    world.cluster.put(runtime_object(resources={"limits": {"nvidia.com/gpu": "1", "memory": "64Mi"}}))
    world.settle()
    assert world.condition("Valid") == ("False", "RuntimeTooSmall")
    assert "runtime cpu limits it to 64.0 MiB" in world.message("Valid")
    assert len(world.live_gangs()) == 0
    world.cluster.put(runtime_object(resources={"limits": {"nvidia.com/gpu": "1", "memory": "64Gi"}}))
    world.settle()
    assert world.status.state == "Running"


def test_a_runtime_with_fewer_gpus_than_processes_is_told_with_both_numbers() -> None:
    world = World(job_object(parallelism={"nodes": 2, "processesPerNode": 8}))
    gpus = {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    world.cluster.put(runtime_object(resources=gpus))
    world.settle()
    assert world.condition("Valid") == ("False", "RuntimeTooSmall")
    assert "8 processes a pod, but runtime cpu gives a pod 1 of nvidia.com/gpu" in world.message("Valid")
    assert (world.status.state, len(world.live_gangs())) == ("Pending", 0)
    world.cluster.put(runtime_object(resources={"limits": {"nvidia.com/gpu": "8"}}))
    world.settle()
    assert world.status.state == "Running"
