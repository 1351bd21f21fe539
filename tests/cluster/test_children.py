"""On a real API server: what somebody deletes or edits by hand comes back, and no pod is restarted for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import children, job, status
from cluster.kubelet import Ending, Kubelet
from cluster.operator_process import OperatorProcess
from finetune_api import labels
from finetune_api.objects import Object

RESTORE_SECONDS = 20.0


@pytest.fixture(scope="module")
def operator(plane: ControlPlane) -> Iterator[OperatorProcess]:
    """It looks at children without a watch every second."""
    with OperatorProcess(plane, CHILDREN_SECONDS="1") as operator:
        yield operator


@pytest.fixture
def training(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> Iterator[str]:
    """A namespace with a job that pretrains on two pods, which run on."""

    def ending(pod: Object) -> Ending:
        return Ending(after_seconds=None if pod["metadata"]["labels"][labels.STAGE] == "pretrain" else 0.2)

    plane.kubectl("delete", "ftj", "--all", "--all-namespaces")  # namespaces of earlier tests take a while to go
    with Kubelet(plane, ending):
        plane.apply(job("whole", namespace, workspace={"create": {"size": "1Gi"}}))
        plane.kubectl("wait", "-n", namespace, "--for=condition=Valid", "ftj/whole", "--timeout=30s")
        wait_for("two running pods", lambda: len(pods(plane, namespace)) == 2)
        wait_for("their status", lambda: is_ready(plane, namespace))
        yield namespace


def is_ready(plane: ControlPlane, namespace: str) -> bool:
    """Whether the operator has seen all pods of pretraining run."""
    now = status(plane, "whole", namespace)
    ready = any(c["type"] == "PodsReady" and c["status"] == "True" for c in now.get("conditions", ()))
    return now.get("currentStage") == "pretrain" and ready


def pods(plane: ControlPlane, namespace: str) -> set[str]:
    """UIDs of the running pods of pretraining."""
    items = plane.get("pods", "-n", namespace, "-l", f"{labels.STAGE}=pretrain")["items"]
    return {p["metadata"]["uid"] for p in items if p.get("status", {}).get("phase") == "Running"}


def one(plane: ControlPlane, namespace: str, kind: str) -> Object:
    """The child of a kind; of Jobs and ConfigMaps the one of pretraining."""
    items = plane.get(kind, "-n", namespace, "-l", f"{labels.JOB}=whole")["items"]
    found: Object = next(o for o in items if o["metadata"]["labels"].get(labels.STAGE, "pretrain") == "pretrain")
    return found


@pytest.mark.parametrize("kind", ["services", "configmaps"])
def test_a_deleted_child_comes_back(plane: ControlPlane, training: str, kind: str) -> None:
    before, running = children(plane, training), pods(plane, training)
    old = {o["metadata"]["uid"] for o in plane.get(kind, "-n", training, "-l", labels.JOB)["items"]}
    plane.kubectl("delete", kind, "-n", training, "-l", labels.JOB)
    wait_for(f"the {kind}", lambda: children(plane, training) == before, RESTORE_SECONDS)
    new = {o["metadata"]["uid"] for o in plane.get(kind, "-n", training, "-l", labels.JOB)["items"]}
    assert not old & new
    assert pods(plane, training) == running


def test_an_edited_selector_is_put_right(plane: ControlPlane, training: str) -> None:
    service = one(plane, training, "services")
    name, wanted = service["metadata"]["name"], service["spec"]["selector"]
    patch = '{"spec":{"selector":{"app":"another"}}}'
    plane.kubectl("patch", "service", name, "-n", training, "--type=merge", "-p", patch)
    wait_for("its selector", lambda: one(plane, training, "services")["spec"]["selector"] == wanted, RESTORE_SECONDS)


def test_a_job_that_was_scaled_is_put_right(plane: ControlPlane, training: str) -> None:
    name = one(plane, training, "jobs")["metadata"]["name"]
    patch = '{"spec":{"parallelism":3}}'
    plane.kubectl("patch", "job", name, "-n", training, "--type=merge", "-p", patch)
    wait_for("its pods", lambda: one(plane, training, "jobs")["spec"]["parallelism"] == 2, RESTORE_SECONDS)
    assert one(plane, training, "jobs")["metadata"]["name"] == name, "the same attempt goes on"
    assert len(pods(plane, training)) == 2


def test_a_job_that_was_suspended_goes_on(plane: ControlPlane, training: str) -> None:
    name = one(plane, training, "jobs")["metadata"]["name"]
    before = pods(plane, training)
    plane.kubectl("patch", "job", name, "-n", training, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_for("its other pods", lambda: len(new := pods(plane, training)) == 2 and not new & before, RESTORE_SECONDS)
    assert one(plane, training, "jobs")["spec"]["suspend"] is False


def test_what_is_as_it_should_be_is_not_written(plane: ControlPlane, training: str, operator: OperatorProcess) -> None:
    def writes() -> list[str]:
        lines = (operator.ask("metrics") or "").splitlines()
        return [x for x in lines if x.startswith("finetune_operator_api_requests_total") and 'verb="GET"' not in x]

    def lists() -> float:
        lines = (operator.ask("metrics") or "").splitlines()
        return sum(float(x.split()[-1]) for x in lines if 'kind="Service"' in x and 'verb="GET"' in x)

    before, read = writes(), lists()
    wait_for("three looks at the Services", lambda: lists() >= read + 3)
    assert writes() == before
