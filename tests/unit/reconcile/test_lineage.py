"""A job with a parent: what it takes over without pods, what it says, what it waits for, whose claim it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.stage_result import ReusedStage
from finetune_operator.reconcile.lineage import compare
from unit.reconcile.lives import run_through
from unit.reconcile.world import World, job_object

ADAPT: Object = {
    "task": {"source": "ui", "direction": "en-es"},
    "batch": {"globalTokens": 1024, "sequenceLength": 64},
    "lora": {"rank": 8},
}
PRETRAIN = job_object()["spec"]["pretrain"]


def variant(name: str = "v1", parent: str = "base", **spec: Any) -> Object:
    return job_object(name, **({"adapt": ADAPT | {"lora": {"rank": 16}}, "lineage": {"parent": parent}} | spec))


def family(child: Object, *stages: str, **base: Any) -> World:
    """`base` after these stages, and its child, which the world visits from now on."""
    world = World(job_object("base", **({"adapt": ADAPT} | base)))
    run_through(world, *stages)
    for pod in world.of("Pod"):
        world.cluster.remove(("Pod", "default", pod["metadata"]["name"]))
    world.cluster.put(child)
    world.name = child["metadata"]["name"]
    return world


def event_notes(world: World, job: str, reason: str) -> list[str]:
    return [e["note"] for e in world.of("Event") if e["regarding"]["name"] == job and e["reason"] == reason]


PRETRAINED = ReusedStage(stage="pretrain", artifact="models/pretrain", message="10 k tokens")
FOUND: dict[str, Any] = {
    "artifact": "data/0123",
    "message": "reused from base · 8 pairs kept",
    "reused_from": "base",
    "productive_seconds": 5.0,
    "also_reused": [PRETRAINED],
}


def test_stages_of_the_parent_need_no_pods_and_are_told() -> None:
    world = family(variant(), "prepare", "pretrain", "adapt", "evaluate")
    world.settle()
    assert event_notes(world, "v1", "StageRunsAnew") == ["adapt runs anew: spec.adapt.lora.rank differs from base"]
    assert world.stage("adapt").message == "runs anew: spec.adapt.lora.rank differs from base"
    world.finish_gang(**FOUND)
    world.settle()
    assert world.status.current_stage == "adapt"
    assert [(s.name, s.state, s.attempt, s.reused_from, s.artifact, s.message) for s in world.status.stages[:2]] == [
        ("prepare", "Succeeded", 1, "base", "data/0123", "reused from base · 8 pairs kept"),
        ("pretrain", "Succeeded", 0, "base", "models/pretrain", "reused from base · 10 k tokens"),
    ]
    assert event_notes(world, "v1", "StageReused") == [
        "prepare: reused from base · 8 pairs kept", "pretrain: reused from base · 10 k tokens",
    ]  # fmt: skip
    gangs = [job["metadata"]["labels"][labels.STAGE] for job in world.of("Job")
             if job["metadata"]["labels"][labels.JOB] == "v1"]  # fmt: skip
    assert sorted(gangs) == ["adapt", "prepare"]
    assert world.status.goodput is not None
    assert world.status.goodput.productive_seconds == 0.0
    run_through(world, "adapt", "evaluate")
    assert (world.status.state, world.status.stages[2].reused_from) == ("Succeeded", None)


def plan_of(world: World, stage: str) -> Object:
    name = next(c["metadata"]["name"] for c in world.of("ConfigMap") if "v1-" in c["metadata"]["name"]
                and f"-{stage}-" in c["metadata"]["name"])  # fmt: skip
    plan: Object = json.loads(world.cluster.objects["ConfigMap", "default", name]["data"]["plan.json"])
    return plan


def test_a_variant_writes_to_its_own_folder_and_reads_the_parents() -> None:
    world = family(variant(), "prepare", "pretrain", "adapt", "evaluate")
    world.settle()
    plan = plan_of(world, "prepare")
    assert (plan["folder"], list(plan["later"])) == ("jobs/v1", ["pretrain", "adapt"])
    world.finish_gang(**FOUND)
    world.settle()
    plan = plan_of(world, "adapt")
    assert plan["inputs"] == {"prepare": "data/0123", "pretrain": "models/pretrain"}
    assert (plan["folder"], "later" in plan) == ("jobs/v1", False)


def test_the_plan_of_a_job_without_a_parent_is_as_it_was() -> None:
    world = World(job_object())
    world.settle()
    plan = json.loads(world.of("ConfigMap")[0]["data"]["plan.json"])
    assert plan.keys().isdisjoint({"folder", "later"})


def test_what_the_first_pod_finds_missing_runs_anew_with_its_reason() -> None:
    world = family(variant(), "prepare", "pretrain", "adapt", "evaluate")
    world.settle()
    reason = "files of models/pretrain are missing or were changed"
    world.finish_gang(**FOUND | {"also_reused": None, "runs_anew": {"pretrain": reason}})
    world.settle()
    assert world.status.current_stage == "pretrain"
    assert event_notes(world, "v1", "StageRunsAnew") == [
        "adapt runs anew: spec.adapt.lora.rank differs from base", f"pretrain runs anew: {reason}",
    ]  # fmt: skip


def test_a_result_that_leaves_a_stage_out_is_not_believed() -> None:
    world = family(variant(), "prepare", "pretrain", "adapt", "evaluate")
    world.settle()
    world.finish_gang(**FOUND | {"also_reused": [PRETRAINED.model_copy(update={"stage": "adapt"})]})
    world.settle()
    assert [(s.name, s.state) for s in world.status.stages] == [
        ("prepare", "Succeeded"), ("pretrain", "Running"), ("adapt", "Pending"), ("evaluate", "Pending"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "shared", "anew", "reason"),
    [
        ({}, ("prepare", "pretrain"), "adapt", "spec.adapt.lora.rank differs from base"),
        ({"adapt": ADAPT}, ("prepare", "pretrain", "adapt"), None, ""),
        ({"evaluate": None, "adapt": ADAPT}, ("prepare", "pretrain", "adapt"), None, ""),
        (
            {"pretrain": PRETRAIN | {"budget": {"tokens": 20_000}, "seed": 5}},
            ("prepare",), "pretrain", "spec.pretrain.budget.tokens, spec.pretrain.seed differ from base",
        ),
        ({"data": {"sources": [{**job_object()["spec"]["data"]["sources"][0], "uri": "file:///other.tsv"}]}},
         (), "prepare", "spec.data.sources differs from base"),
        ({"parallelism": {"nodes": 1}}, ("prepare",), "pretrain", "spec.parallelism.nodes differs from base"),
    ],
)  # fmt: skip
def test_how_far_two_specs_are_the_same(changes: Any, shared: tuple[str, ...], anew: str | None, reason: str) -> None:
    child = FineTuneJob.from_json_object(variant(**changes))
    found = compare(child, FineTuneJob.from_json_object(job_object("base", adapt=ADAPT)))
    assert (found.shared, found.anew, found.reason) == (shared, anew, reason)


def test_a_stage_that_the_parent_does_not_have_is_new() -> None:
    child = FineTuneJob.from_json_object(variant())
    found = compare(child, FineTuneJob.from_json_object(job_object("base")))
    assert (found.shared, found.anew, found.reason) == (("prepare", "pretrain"), "adapt", "base has no adapt stage")


def is_refused(world: World, reason: str, words: str, state: str) -> bool:
    world.sync()
    pods = [p for p in world.of("Pod") if p["metadata"]["labels"][labels.JOB] == world.name]
    assert pods == []
    assert world.condition("Valid") == ("False", reason)
    assert words in world.message("Valid")
    return world.status.state == state


def test_a_parent_that_is_not_there_is_waited_for() -> None:
    world = World(variant())
    assert is_refused(world, "ParentNotFound", "FineTuneJob base does not exist in namespace default", "Pending")
    assert "apply its manifest again, with workspace.claimName: medical" in world.message("Valid")


@pytest.mark.parametrize(
    ("stages", "missing"), [((), "prepare"), (("prepare",), "pretrain")], ids=["before prepare", "before pretrain"]
)
def test_a_parent_that_has_not_made_the_shared_stages_is_waited_for(stages: tuple[str, ...], missing: str) -> None:
    world = family(variant(), *stages)
    assert is_refused(world, "ParentNotFinished", f"base has not finished {missing} yet", "Pending")


def test_a_variant_starts_while_its_parent_still_adapts() -> None:
    world = family(variant(), "prepare", "pretrain")
    world.settle()
    assert world.condition("Valid") == ("True", "Valid")
    assert world.status.current_stage == "prepare"


def test_a_parent_that_failed_in_a_shared_stage_is_refused_with_its_reason() -> None:
    world = World(job_object("base", adapt=ADAPT))
    run_through(world, "prepare")
    world.finish_gang(65)
    world.settle()
    world.cluster.put(variant())
    world.name = "v1"
    assert is_refused(world, "ParentFailed", "base failed in pretrain: ", "Failed")
    assert "pretrain broke" in world.message("Valid")
    world.cluster.put(variant("v2", pretrain=PRETRAIN | {"budget": {"tokens": 99_000}}))
    world.name = "v2"
    world.settle()
    assert world.condition("Valid") == ("True", "Valid")


def test_a_parent_in_another_workspace_is_refused() -> None:
    world = family(variant(workspace={"claimName": "other"}), "prepare", "pretrain", "adapt", "evaluate")
    assert is_refused(world, "ParentElsewhere", "base works in medical, this job in other", "Failed")


@pytest.mark.parametrize(
    ("parents", "circle"),
    [
        ({"a": "v1"}, "v1 -> a -> v1"),
        ({"a": "b", "b": "v1"}, "v1 -> a -> b -> v1"),
        ({"a": "b", "b": "a"}, "v1 -> a -> b -> a"),
    ],
)
def test_a_circle_of_parents_is_refused_rather_than_waited_for(parents: dict[str, str], circle: str) -> None:
    world = World(variant(parent="a"))
    for name, parent in parents.items():
        world.cluster.put(variant(name, parent))
    assert is_refused(world, "ParentCircle", f"a circle of parents: {circle}", "Failed")


def test_a_parent_deleted_after_the_start_is_not_missed() -> None:
    world = family(variant(), "prepare", "pretrain", "adapt", "evaluate")
    world.settle()
    world.cluster.remove(("FineTuneJob", "default", "base"))
    world.settle()
    assert world.condition("Valid") == ("True", "Valid")
    world.finish_gang(**FOUND)
    run_through(world, "adapt", "evaluate")
    assert world.status.state == "Succeeded"


def test_the_claim_of_a_parent_outlives_it_as_long_as_a_variant_is_there() -> None:
    world = World(job_object("base", adapt=ADAPT, workspace={"create": {"size": "1Gi"}}))
    run_through(world, "prepare", "pretrain", "adapt", "evaluate")
    claim = world.of("PersistentVolumeClaim")[0]["metadata"]["name"]
    for name in ("v1", "v2"):
        world.cluster.put(variant(name, workspace={"claimName": claim}))
        world.name = name
        world.settle()
        assert world.condition("Valid") == ("True", "Valid")
    owners = world.of("PersistentVolumeClaim")[0]["metadata"]["ownerReferences"]
    assert [(o["name"], o.get("controller", False)) for o in owners] == [
        ("base", True), ("v1", False), ("v2", False),
    ]  # fmt: skip


def test_a_claim_that_no_job_owns_is_left_alone() -> None:
    world = World(variant())
    world.cluster.put(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "medical", "namespace": "default"}}
    )
    world.cluster.put(job_object("base", adapt=ADAPT))
    world.name = "base"
    run_through(world, "prepare", "pretrain")
    world.name = "v1"
    world.settle()
    assert "ownerReferences" not in world.of("PersistentVolumeClaim")[0]["metadata"]
