"""What the chart installs on a real node is ready, scraped by its Service, and says so to `helm test`."""

from __future__ import annotations

import pytest

from chart.helm import helm
from cluster.control_plane import ControlPlane


@pytest.fixture(autouse=True)
def _chart(pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--chart"):
        pytest.skip("the operator is installed by its manifests: --chart installs it by its chart")


def test_helm_test_finds_the_operator_ready(plane: ControlPlane) -> None:
    place = ("--namespace", "finetune-operator", "--kubeconfig", str(plane.kubeconfig()))
    told = helm("test", "finetune-operator", *place, "--logs", "--timeout", "90s")
    assert "Phase:          Succeeded" in told
    assert "ok" in told.splitlines()


def test_the_pod_runs_as_the_restricted_standard_asks(plane: ControlPlane) -> None:
    plane.kubectl(
        "label", "namespace", "finetune-operator", "pod-security.kubernetes.io/enforce=restricted", "--overwrite"
    )
    plane.kubectl("rollout", "restart", "deployment/finetune-operator", "-n", "finetune-operator")
    plane.kubectl("rollout", "status", "deployment/finetune-operator", "-n", "finetune-operator", "--timeout=90s")
