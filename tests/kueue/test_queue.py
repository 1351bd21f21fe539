"""A job in a queue of a real Kueue: it waits, runs, is evicted and goes on, and none of it is a failure."""

from __future__ import annotations

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import job, status, wait_for_state
from cluster.kubelet import Kubelet, run_on, succeed
from cluster.operator_process import OperatorProcess
from finetune_api import labels
from finetune_api.objects import Object
from kueue.kueue_process import flavor

API = "kueue.x-k8s.io/v1beta2"
QUEUE = "team-a"


def queues(namespace: str) -> list[Object]:
    """A ClusterQueue that admits nobody yet, and the tenant's way into it."""
    quota = {"name": "cpu", "nominalQuota": "8"}
    group = {"coveredResources": ["cpu"], "flavors": [{"name": "default", "resources": [quota]}]}
    spec = {"namespaceSelector": {}, "stopPolicy": "Hold", "resourceGroups": [group]}
    return [
        flavor("default"),
        {"apiVersion": API, "kind": "ClusterQueue", "metadata": {"name": QUEUE}, "spec": spec},
        {
            "apiVersion": API,
            "kind": "LocalQueue",
            "metadata": {"name": QUEUE, "namespace": namespace},
            "spec": {"clusterQueue": QUEUE},
        },
        {
            "apiVersion": "finetune-operator.io/v1alpha1",
            "kind": "FineTuneRuntime",
            "metadata": {"name": "queued", "namespace": namespace},
            "spec": {
                "image": "registry.example/trainer",
                "resources": {"requests": {"cpu": "1"}},
                "scheduling": {"queueName": QUEUE},
            },
        },
    ]


def set_policy(plane: ControlPlane, policy: str) -> None:
    plane.kubectl("patch", "clusterqueue", QUEUE, "--type=merge", "-p", f'{{"spec":{{"stopPolicy":"{policy}"}}}}')


def is_waiting(plane: ControlPlane, namespace: str) -> bool:
    conditions = {c["type"]: c for c in status(plane, "queued", namespace).get("conditions", ())}
    return "Admitted" in conditions and conditions["Admitted"]["reason"] == "WaitingForQuota"


def pods(plane: ControlPlane, namespace: str) -> list[Object]:
    items: list[Object] = plane.get("pods", "-n", namespace, "-l", labels.JOB)["items"]
    return items


def restarts(plane: ControlPlane, namespace: str) -> list[tuple[int, Object]]:
    return [(stage["attempt"], stage.get("restarts", {})) for stage in status(plane, "queued", namespace)["stages"]]


def test_a_job_waits_runs_is_evicted_and_goes_on(plane: ControlPlane, namespace: str) -> None:
    plane.apply(*queues(namespace))
    reference = {"kind": "FineTuneRuntime", "name": "queued"}
    with OperatorProcess(plane, LEADER_ELECTION="false"), Kubelet(plane, run_on) as kubelet:
        plane.apply(job("queued", namespace, runtimeRef=reference, parallelism=None, evaluate=None))
        wait_for("the queue in the status", lambda: is_waiting(plane, namespace))
        assert pods(plane, namespace) == []

        set_policy(plane, "None")
        wait_for("the admission", lambda: status(plane, "queued", namespace)["state"] == "Running")
        assert not is_waiting(plane, namespace)

        set_policy(plane, "HoldAndDrain")
        wait_for("the eviction", lambda: is_waiting(plane, namespace) and pods(plane, namespace) == [])
        assert restarts(plane, namespace)[0] == (1, {})

        set_policy(plane, "None")
        kubelet.ending = succeed
        wait_for_state(plane, "queued", namespace, "Succeeded")
        assert restarts(plane, namespace) == [(1, {}), (1, {})]
