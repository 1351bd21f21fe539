"""Install, upgrade, roll back, uninstall on a real API server, while a job runs: nothing happens to the job."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.helm import CHART, NAMESPACE, RELEASE, HelmError, helm
from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import children, job, status, wait_for_state
from cluster.kubelet import Ending, Kubelet, run_on
from cluster.operator_process import OperatorProcess

Object = dict[str, Any]
TEAM = "team-a"
RUNTIMES = {"runtimes": {"cpu": {"enabled": True}}}


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    """The chart as an earlier version of itself, packaged."""
    source = tmp_path / CHART.name
    shutil.copytree(CHART, source)
    helm("package", str(source), "--version", "0.0.9", "--destination", str(tmp_path))
    return tmp_path / f"{CHART.name}-0.0.9.tgz"


def identities(plane: ControlPlane) -> list[tuple[str, str]]:
    """uid of the job, and uids of its children."""
    own = plane.get("finetunejob", "steady", "-n", TEAM)["metadata"]["uid"]
    jobs = plane.get("jobs", "-n", TEAM)["items"]
    return [("FineTuneJob", own), *sorted((o["kind"], o["metadata"]["uid"]) for o in jobs)]


def test_a_release_lives_while_a_job_runs(plane: ControlPlane, packaged: Path) -> None:
    def on_cluster(*arguments: str, values: Object | None = None) -> str:
        return helm(*arguments, "--namespace", NAMESPACE, "--kubeconfig", str(plane.kubeconfig()), values=values)

    plane.kubectl("create", "namespace", TEAM)
    on_cluster("install", RELEASE, str(packaged), "--create-namespace")
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    notes = on_cluster("upgrade", RELEASE, str(packaged), values=RUNTIMES)
    assert "kubectl get finetunejobs -w" in notes

    with OperatorProcess(plane, LEASE_NAME=RELEASE), Kubelet(plane, run_on) as kubelet:
        plane.apply(job("steady", TEAM, runtimeRef={"kind": "ClusterFineTuneRuntime", "name": "cpu"}))
        wait_for_state(plane, "steady", TEAM, "Running")
        before = identities(plane)

        on_cluster("upgrade", RELEASE, str(CHART), values=RUNTIMES | {"replicas": 2, "config": {"workers": 4}})
        (release,) = yaml.safe_load(on_cluster("list", "--output", "yaml"))
        assert (release["chart"], release["status"]) == ("finetune-operator-0.1.0", "deployed")
        assert plane.get("deployment", RELEASE, "-n", NAMESPACE)["spec"]["replicas"] == 2
        on_cluster("rollback", RELEASE, "2")
        assert plane.get("deployment", RELEASE, "-n", NAMESPACE)["spec"]["replicas"] == 1
        assert identities(plane) == before

        with pytest.raises(HelmError, match="ownership"):
            helm(
                "install", "second", str(CHART), "--namespace", "other", "--create-namespace",
                "--kubeconfig", str(plane.kubeconfig()),
            )  # fmt: skip

        kubelet.ending = lambda _: Ending()
        wait_for_state(plane, "steady", TEAM, "Succeeded")

    on_cluster("uninstall", RELEASE)
    wait_for("the Deployment's end", lambda: not plane.get("deployments", "-n", NAMESPACE)["items"])
    assert status(plane, "steady", TEAM)["state"] == "Succeeded"
    assert children(plane, TEAM)
    assert not [r for r in plane.get("clusterroles")["items"] if r["metadata"]["name"].startswith(RELEASE)]
    on_cluster("install", RELEASE, str(CHART))  # finds the CRDs that were kept
    assert status(plane, "steady", TEAM)["state"] == "Succeeded"
