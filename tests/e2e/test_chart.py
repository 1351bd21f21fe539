"""The chart as its page types it, on a real node; `helm test` is the last line of that."""

from __future__ import annotations

import pytest

from cluster.control_plane import ControlPlane


@pytest.fixture(autouse=True)
def _chart(pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--chart"):
        pytest.skip("the operator is installed by its manifests: --chart installs it by its chart")


def test_what_the_page_types_makes_a_runtime(plane: ControlPlane) -> None:
    (runtime,) = plane.get("clusterfinetuneruntimes")["items"]
    assert runtime["metadata"]["name"] == "cpu"


def test_the_pod_runs_as_the_restricted_standard_asks(plane: ControlPlane) -> None:
    plane.kubectl(
        "label", "namespace", "finetune-operator", "pod-security.kubernetes.io/enforce=restricted", "--overwrite"
    )
    plane.kubectl("rollout", "restart", "deployment/finetune-operator", "-n", "finetune-operator")
    plane.kubectl("rollout", "status", "deployment/finetune-operator", "-n", "finetune-operator", "--timeout=90s")
