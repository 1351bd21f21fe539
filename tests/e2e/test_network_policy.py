"""Where NetworkPolicies are enforced: ranks reach each other, the operator reaches them, and nobody else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from e2e.installed import TRAINER_IMAGE
from e2e.jobs import long_job, story, wait_for_end, wait_for_step, write_corpus
from finetune_api import labels
from finetune_api.objects import Object

NAME = "private"
PORT = 8000


def stranger(name: str, namespace: str) -> Object:
    """A pod that serves something itself, and looks at others."""
    container = {
        "name": "stranger",
        "image": TRAINER_IMAGE,
        "command": ["python3", "-m", "http.server", str(PORT), "--directory", "/proc/self/fdinfo"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {labels.NAME: "finetune"}},
        "spec": {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 1},
    }


@pytest.fixture
def reaches(plane: ControlPlane, namespace: str) -> Callable[[str, str, int], bool]:
    """Whether a stranger's TCP connection to an address is accepted."""
    plane.apply(stranger("near", namespace), stranger("server", namespace), stranger("far", "default"))
    for name, place in (("near", namespace), ("server", namespace), ("far", "default")):
        plane.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", place, "--timeout=60s")

    def connects(place: str, address: str, port: int) -> bool:
        name = "far" if place == "default" else "near"
        knock = f"import socket; s = socket.socket(); s.settimeout(2); print(s.connect_ex(('{address}', {port})))"
        code = int(plane.kubectl("exec", name, "-n", place, "--", "python3", "-c", knock))
        return code == 0

    return connects


def addresses(plane: ControlPlane, namespace: str, selector: str) -> list[str]:
    found = plane.get("pods", "-n", namespace, "-l", selector, "--field-selector=status.phase=Running")
    return [pod["status"]["podIP"] for pod in found["items"]]


def test_only_the_gang_and_the_operator_reach_a_pod(
    plane: ControlPlane, namespace: str, tmp_path: Path, reaches: Callable[[str, str, int], bool]
) -> None:
    write_corpus(tmp_path)
    plane.apply(long_job(NAME, namespace, 700_000))
    wait_for_step(plane, NAME, namespace, 1)  # which the operator asked a pod for
    ranks = addresses(plane, namespace, f"{labels.JOB}={NAME}")
    assert len(ranks) == 2
    server = plane.get("pod", "server", "-n", namespace)["status"]["podIP"]
    for place in (namespace, "default"):
        assert reaches(place, server, PORT), "the network lets strangers through where nothing forbids it"
        for rank in ranks:
            assert not reaches(place, rank, labels.PROGRESS_PORT)
            assert not reaches(place, rank, labels.RENDEZVOUS_PORT)
    wait_for_step(plane, NAME, namespace, 1)  # it still trains while strangers knock

    assert wait_for_end(plane, NAME, namespace)["state"] == "Succeeded", story(plane, namespace)
    plane.kubectl("delete", "pod", "far", "-n", "default", "--now")
