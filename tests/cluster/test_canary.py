"""What is told to the operator in confidence never shows in what it writes, says or counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import job, status, wait_for_state
from cluster.kubelet import Ending, Kubelet
from cluster.operator_process import OperatorProcess
from finetune_api.objects import Object

CANARY = "c4n4ry-7f3a"
REFERENCE = {"kind": "FineTuneRuntime", "name": "private"}


@pytest.fixture(scope="module")
def talkative(plane: ControlPlane) -> Iterator[OperatorProcess]:
    """It logs all it can."""
    plane.kubectl("delete", "ftj", "--all", "--all-namespaces")
    with OperatorProcess(plane, name="talkative", LOG_LEVEL="DEBUG", LEADER_ELECTION="false") as operator:
        yield operator


def runtime(namespace: str, **spec: Any) -> Object:
    """Its image, its variables and its volumes tell a secret, as people do although they should not."""
    return {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneRuntime",
        "metadata": {"name": "private", "namespace": namespace},
        "spec": {"image": f"registry.example/{CANARY}", "environment": [{"name": "HF_TOKEN", "value": CANARY}], **spec},
    }


def shown(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> dict[str, str]:
    """All that people and collectors read, but for the pods and the snapshot that they are made from."""
    config_maps = plane.get("configmaps", "-n", namespace)["items"]
    return {
        "jobs": json.dumps(plane.get("ftj", "-n", namespace)),
        "events": json.dumps(
            [
                e
                for e in plane.get("events", "-n", namespace)["items"]
                if "finetune" in json.dumps(e.get("reportingComponent"))
            ]
        ),
        "plans": json.dumps([{k: v for k, v in o["data"].items() if k != "runtime.json"} for o in config_maps]),
        "metrics": operator.ask("metrics") or "",
        "log": operator.log.read_text(encoding="utf-8"),
    }


def leaks(plane: ControlPlane, namespace: str, operator: OperatorProcess, secret: str = CANARY) -> list[str]:
    texts = shown(plane, namespace, operator)
    assert "reconciles_total" in texts["metrics"]
    assert '"level": "debug"' in texts["log"]
    return [place for place, text in texts.items() if secret in text]


def test_of_a_runtime_while_all_goes_well(plane: ControlPlane, namespace: str, talkative: OperatorProcess) -> None:
    with Kubelet(plane):
        plane.apply(runtime(namespace), job("quiet", namespace, runtimeRef=REFERENCE))
        wait_for_state(plane, "quiet", namespace, "Succeeded")
    assert CANARY in json.dumps(plane.get("pods", "-n", namespace)), "it is where it belongs"
    assert "StageStarted" in shown(plane, namespace, talkative)["events"]
    assert "fingerprint" in shown(plane, namespace, talkative)["plans"]
    assert leaks(plane, namespace, talkative) == []


def test_of_a_runtime_whose_pods_fail(plane: ControlPlane, namespace: str, talkative: OperatorProcess) -> None:
    with Kubelet(plane, lambda _: Ending(code=64)):
        plane.apply(runtime(namespace), job("loud", namespace, runtimeRef=REFERENCE))
        wait_for_state(plane, "loud", namespace, "Failed")
    assert leaks(plane, namespace, talkative) == []


def test_of_a_runtime_that_the_api_server_refuses(
    plane: ControlPlane, namespace: str, talkative: OperatorProcess
) -> None:
    twice = {"volumes": [{"name": "plan", "emptyDir": {}}]}
    plane.apply(runtime(namespace, **twice), job("refused", namespace, runtimeRef=REFERENCE))

    def is_told() -> bool:
        return "Duplicate value" in json.dumps(status(plane, "refused", namespace).get("conditions", []))

    wait_for("the refusal in the status", is_told)
    assert leaks(plane, namespace, talkative) == []


def test_of_the_operators_own_token(plane: ControlPlane, namespace: str, talkative: OperatorProcess) -> None:
    token = plane.tokens["operator"]
    assert token in plane.kubeconfig("operator").read_text(encoding="utf-8")
    assert leaks(plane, namespace, talkative, token) == []
