"""What somebody deletes or edits by hand while a gang runs comes back."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_operator.cluster.interface import ClusterError
from finetune_operator.reconcile import names
from finetune_operator.reconcile.upkeep import is_edited
from unit.reconcile.world import World, job_object, runtime_object


def running(**spec: Any) -> World:
    """Pretraining on two nodes."""
    world = World(job_object(**spec))
    world.settle()
    world.finish_gang()
    world.settle()
    assert world.stage("pretrain").state == "Running"
    world.cluster.writes.clear()
    return world


def test_nothing_is_written_while_nothing_is_amiss() -> None:
    world = running()
    world.sync()
    assert world.cluster.writes == []


@pytest.mark.parametrize("kind", ["Service", "ConfigMap", "PersistentVolumeClaim"])
def test_a_deleted_child_comes_back_as_it_was(kind: str) -> None:
    world = running(workspace={"create": {"size": "10Gi"}})
    before = {o["metadata"]["name"]: o for o in world.of(kind)}
    pods = world.live_gangs()
    for name in before:
        world.cluster.remove((kind, "default", name))
    world.settle()
    after = {o["metadata"]["name"]: o for o in world.of(kind)}
    for name, value in after.items():
        assert value.get("spec") == before[name].get("spec")
        assert value.get("data", {}).items() <= before[name].get("data", {}).items()
    assert after.keys() == before.keys()
    assert world.live_gangs() == pods, "no pod is restarted for it"
    assert {w.split()[1] for w in world.cluster.writes} == {kind}
    assert world.stage("pretrain").restarts == {}


def test_the_snapshot_that_comes_back_is_of_the_runtime_as_it_is_now() -> None:
    world = running()
    world.cluster.put(runtime_object(image="registry.example/trainer@sha256:1"))
    snapshot = next(o for o in world.of("ConfigMap") if "runtime.json" in o["data"])
    world.cluster.remove(("ConfigMap", "default", snapshot["metadata"]["name"]))
    world.settle()
    again = next(o for o in world.of("ConfigMap") if "runtime.json" in o["data"])
    assert again["metadata"]["name"] == snapshot["metadata"]["name"]
    assert "sha256:1" in again["data"]["runtime.json"]


def test_a_stranger_under_the_name_of_a_child_is_told_and_left_alone_however_late_it_comes() -> None:
    world = World(job_object())
    stranger: Object = {}

    def come(verb: str) -> None:
        if verb == "create Job" and not stranger:
            name = next(o for o in world.of("ConfigMap"))["metadata"]["name"]
            metadata = {"name": name, "namespace": "default"}
            stranger.update(world.cluster.put({"kind": "Job", "metadata": metadata, "spec": {"parallelism": 7}}))

    world.cluster.before_write = come
    with pytest.raises(ClusterError, match="does not belong to this job"):
        world.sync()
    with pytest.raises(ClusterError):
        world.sync()
    assert "Delete or rename that one" in world.message("PodsReady")
    assert world.of("Job") == [stranger]
    world.cluster.remove(("Job", "default", stranger["metadata"]["name"]))
    world.settle()
    assert world.condition("PodsReady") == ("True", "Running")


def test_a_child_whose_making_was_not_heard_of_is_taken() -> None:
    world = World(job_object())
    made: list[str] = []

    def make(verb: str) -> None:
        if verb == "create ConfigMap" and not made:
            owner = {"kind": "FineTuneJob", "uid": world.job["metadata"]["uid"]}
            name = names.runtime_name(FineTuneJob.from_json_object(world.job))
            metadata = {"name": name, "namespace": "default", "ownerReferences": [owner]}
            made.append(world.cluster.put({"kind": "ConfigMap", "metadata": metadata})["metadata"]["uid"])

    world.cluster.before_write = make
    world.settle()
    assert world.condition("PodsReady") == ("True", "Running")
    assert made == [next(o for o in world.of("ConfigMap") if "runtime.json" in o["data"])["metadata"]["uid"]]


def test_an_edited_selector_is_put_right() -> None:
    world = running()
    service = world.of("Service")[0]
    wanted = dict(service["spec"]["selector"])
    world.cluster.put({**service, "spec": {**service["spec"], "selector": {**wanted, "app": "other"}}})
    world.settle()
    assert world.of("Service")[0]["spec"]["selector"] == wanted
    assert world.cluster.writes == [f"apply Service {service['metadata']['name']}"]


@pytest.mark.parametrize("change", [{"parallelism": 0}, {"suspend": True}, {"parallelism": 1, "completions": 1}])
def test_an_edited_job_is_put_right_with_the_pods_it_has(change: Object) -> None:
    world = running()
    job = next(o for o in world.of("Job") if "pretrain" in o["metadata"]["name"])
    template = {**job["spec"]["template"], "added": "by a default of the API server"}
    del job["spec"]["podFailurePolicy"]  # as an older operator made it
    world.cluster.put({**job, "spec": {**job["spec"], **change, "template": template}})
    world.settle()
    spec = next(o for o in world.of("Job") if "pretrain" in o["metadata"]["name"])["spec"]
    assert (spec["parallelism"], spec["completions"], spec["suspend"]) == (2, 2, False)
    assert spec["template"] == template, "a template cannot change"
    assert "podFailurePolicy" not in spec, "nor can this"
    assert world.stage("pretrain").attempt == 1


def test_a_queue_may_suspend_its_job() -> None:
    world = World(job_object())
    world.cluster.put(runtime_object(scheduling={"queueName": "team-a"}))
    world.sync()
    job = world.of("Job")[0]
    assert "suspend" not in job["spec"]
    world.cluster.put({**job, "spec": {**job["spec"], "suspend": True}})
    world.sync()
    world.cluster.writes.clear()
    world.sync()
    assert world.condition("Admitted") == ("False", "WaitingForQuota")
    assert world.of("Job")[0]["spec"]["suspend"] is True
    assert world.cluster.writes == []


@pytest.mark.parametrize(
    ("kind", "wanted", "actual", "edited"),
    [
        ("Service", {"selector": {"a": "b"}}, {"selector": {"a": "b"}, "clusterIP": "None"}, False),
        ("Service", {"selector": {"a": "b"}}, {"selector": {"a": "b", "c": "d"}}, True),
        ("Service", {"ports": [1]}, {"ports": [2]}, False),
        ("Job", {"parallelism": 2, "suspend": False}, {"parallelism": 2}, False),
        ("Job", {"parallelism": 2}, {"parallelism": 1}, True),
        ("NetworkPolicy", {"ingress": [{"from": [{"a": 1}]}]}, {"ingress": [{"from": [{"a": 1, "b": 2}]}]}, False),
        ("NetworkPolicy", {"ingress": [{}]}, {"ingress": [{}, {}]}, True),
        ("NetworkPolicy", {"podSelector": {"matchLabels": {"a": "b"}}}, {"podSelector": {"matchLabels": {}}}, True),
        ("ConfigMap", {}, {}, False),
    ],
)  # fmt: skip
def test_what_counts_as_edited(kind: str, wanted: Object, actual: Object, edited: bool) -> None:
    assert is_edited({"kind": kind, "spec": wanted}, {"kind": kind, "spec": actual}) is edited
