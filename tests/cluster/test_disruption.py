"""What takes a pod away from a running gang: its node goes, or the scheduler needs the room for another pod."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import job, job_events, status, wait_for_state
from cluster.kubelet import Ending, Kubelet
from cluster.operator_process import OperatorProcess
from finetune_api import labels
from finetune_api.objects import Object

POOL = "finetune-operator.io/test-pool"
"""Label of the nodes of one test; also their taint, for no other test's pod may land there."""
ENDED = ("Succeeded", "Failed")
GARBAGE_SECONDS = 120.0
"""The pod garbage collector looks every 20 s and gives a node 40 s to come back."""


class NodeKubelet(Kubelet):
    """Runs only pods that the scheduler has put on a node, and remembers which gangs were alive together."""

    together: set[frozenset[tuple[str, str]]]

    def look(self, pods: list[Object]) -> None:
        """Leave pods without a node to the scheduler."""
        alive: dict[str, set[tuple[str, str]]] = {}
        for metadata in (p["metadata"] for p in pods if p["status"]["phase"] not in ENDED):
            own = metadata["labels"]
            # Other tests' namespaces take a while to go, so each is looked at by itself.
            alive.setdefault(metadata["namespace"], set()).add((own[labels.STAGE], own[labels.ATTEMPT]))
        self.together |= {frozenset(gangs) for gangs in alive.values()}
        super().look([p for p in pods if p["spec"].get("nodeName")])

    def __init__(self, plane: ControlPlane) -> None:
        self.together = set()
        self.is_done = False
        super().__init__(plane, self._end)

    def _end(self, pod: Object) -> Ending:
        holds = pod["metadata"]["labels"][labels.STAGE] == "pretrain" and not self.is_done
        return Ending(after_seconds=None if holds else 0.2)


@pytest.fixture(scope="module")
def operator(plane: ControlPlane) -> Iterator[OperatorProcess]:
    with OperatorProcess(plane) as operator:
        yield operator


@pytest.fixture
def pool(plane: ControlPlane, namespace: str) -> Iterator[str]:
    """The namespace's claims, and a runtime whose pods take one CPU of nodes of its own."""
    for name in ("workspace", "corpora"):
        plane.apply(*_bound_claim(name, namespace))
    plane.apply(
        {
            "apiVersion": "finetune-operator.io/v1alpha1",
            "kind": "FineTuneRuntime",
            "metadata": {"name": "pool", "namespace": namespace},
            "spec": {
                "image": "localhost/trainer@sha256:" + 64 * "0",
                "resources": {"requests": {"cpu": "1"}},
                "scheduling": {"nodeSelector": {POOL: namespace}, "tolerations": [{"operator": "Exists"}]},
            },
        }
    )
    yield namespace
    plane.kubectl("delete", "ftj", "--all", "-n", namespace)
    plane.kubectl("delete", "node", "-l", f"{POOL}={namespace}")
    plane.kubectl("delete", "pv", "-l", f"{POOL}={namespace}", "--wait=false")


def test_a_gang_whose_node_is_deleted_is_replaced(plane: ControlPlane, pool: str, operator: OperatorProcess) -> None:
    plane.apply(*(_node(f"{pool}-{index}", pool, 1) for index in range(3)))
    with NodeKubelet(plane) as kubelet:
        plane.apply(job("bereft", pool, runtimeRef={"kind": "FineTuneRuntime", "name": "pool"}))
        lost = wait_for("two pods", lambda: _nodes_of(plane, pool, "1"))[0]
        plane.kubectl("delete", "node", lost)
        found = wait_for("the next gang", lambda: _nodes_of(plane, pool, "2"), GARBAGE_SECONDS)
        assert lost not in found
        stage = _pretrain(plane, "bereft", pool)
        assert stage["restarts"] == {"Infrastructure": 1}
        assert stage["nodeFailures"] == {lost: 1}
        notes = [event["note"] for event in job_events(plane, pool) if event["reason"] == "PodFailed"]
        assert len(notes) == 1
        assert f"on node {lost} was disrupted: PodGC: node no longer exists" in notes[0]
        kubelet.is_done = True
        wait_for_state(plane, "bereft", pool, "Succeeded")
    assert max(map(len, kubelet.together)) == 1


def test_a_preempted_gang_waits_for_room_and_resumes(plane: ControlPlane, pool: str, operator: OperatorProcess) -> None:
    plane.apply(_node(f"{pool}-0", pool, 2))
    plane.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": f"{pool}-first"},
            "value": 1000,
        }
    )
    with NodeKubelet(plane) as kubelet:
        plane.apply(job("yielding", pool, runtimeRef={"kind": "FineTuneRuntime", "name": "pool"}))
        wait_for("two pods", lambda: _nodes_of(plane, pool, "1"))
        plane.apply(_important_pod(pool))
        wait_for("Unschedulable", lambda: _ready_reason(plane, "yielding", pool) == "Unschedulable")
        assert plane.get("pod", "important", "-n", pool)["spec"]["nodeName"] == f"{pool}-0"
        stage = _pretrain(plane, "yielding", pool)
        assert (stage["attempt"], stage["restarts"]) == (2, {"Infrastructure": 1})
        assert not stage.get("nodeFailures")  # the node did nothing wrong
        notes = [event["note"] for event in job_events(plane, pool) if event["reason"] == "PodFailed"]
        assert len(notes) == 1
        assert f"on node {pool}-0 was disrupted: default-scheduler: preempting" in notes[0]
        plane.kubectl("delete", "pod", "important", "-n", pool, "--force", "--grace-period=0")
        wait_for("room", lambda: _nodes_of(plane, pool, "2"))
        kubelet.is_done = True
        found = wait_for_state(plane, "yielding", pool, "Succeeded")
    assert found["restarts"] == 1
    assert max(map(len, kubelet.together)) == 1
    plane.kubectl("delete", "priorityclass", f"{pool}-first")


def _nodes_of(plane: ControlPlane, namespace: str, attempt: str) -> list[str]:
    """Nodes of both pods of an attempt of pretrain, by rank; empty until both run."""
    selector = f"{labels.STAGE}=pretrain,{labels.ATTEMPT}={attempt}"
    pods = plane.get("pods", "-n", namespace, "-l", selector)["items"]
    running = [p for p in pods if p["status"]["phase"] == "Running"]
    nodes = [p["spec"]["nodeName"] for p in sorted(running, key=lambda p: str(p["metadata"]["name"]))]
    return nodes if len(nodes) == 2 else []


def _pretrain(plane: ControlPlane, name: str, namespace: str) -> Object:
    stages = status(plane, name, namespace)["stages"]
    return next(stage for stage in stages if stage["name"] == "pretrain")


def _ready_reason(plane: ControlPlane, name: str, namespace: str) -> str:
    conditions = status(plane, name, namespace).get("conditions", ())
    return next((c["reason"] for c in conditions if c["type"] == "PodsReady"), "")


def _node(name: str, pool: str, cpus: int) -> Object:
    size = {"cpu": str(cpus), "memory": "64Gi", "pods": "100"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {POOL: pool}},
        "spec": {"taints": [{"key": POOL, "value": pool, "effect": "NoSchedule"}]},
        "status": {
            "allocatable": size,
            "capacity": size,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def _bound_claim(name: str, namespace: str) -> tuple[Object, Object]:
    """A volume and its claim: the scheduler places no pod whose claims are not bound."""
    common: Object = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = f"{namespace}-{name}"
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume, "labels": {POOL: namespace}},
            "spec": common
            | {
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": "/nowhere"},
                "claimRef": {"name": name, "namespace": namespace},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": common | {"volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
        },
    )


def _important_pod(namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "important", "namespace": namespace},
        "spec": {
            "priorityClassName": f"{namespace}-first",
            "nodeSelector": {POOL: namespace},
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": "localhost/none", "resources": {"requests": {"cpu": "1"}}}],
        },
    }
