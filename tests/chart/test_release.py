"""Install, upgrade, roll back, uninstall on a real API server, while a job runs: nothing happens to the job."""

from __future__ import annotations

import json
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


FIELD_OF_LONG_AGO = "hintOfLongAgo"


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    """The chart as an earlier version of itself, packaged; its jobs had a field more."""
    source = tmp_path / CHART.name
    shutil.copytree(CHART, source)
    crd = source / "templates" / "crds" / "finetunejobs.yaml"
    text = crd.read_text(encoding="utf-8")
    first = "              runtimeRef:\n"
    assert text.count(first) == 1
    crd.write_text(text.replace(first, f"              {FIELD_OF_LONG_AGO}:\n                type: string\n{first}"))
    helm("package", str(source), "--version", "0.0.9", "--destination", str(tmp_path))
    return tmp_path / f"{CHART.name}-0.0.9.tgz"


def identities(plane: ControlPlane, name: str = "steady", namespace: str = TEAM) -> list[tuple[str, str]]:
    """uid of the job, and uids of its children."""
    own = plane.get("finetunejob", name, "-n", namespace)["metadata"]["uid"]
    jobs = plane.get("jobs", "-n", namespace)["items"]
    return [("FineTuneJob", own), *sorted((o["kind"], o["metadata"]["uid"]) for o in jobs)]


def test_a_release_lives_while_a_job_runs(plane: ControlPlane, packaged: Path) -> None:
    def on_cluster(*arguments: str, values: Object | None = None) -> str:
        return helm(*arguments, "--namespace", NAMESPACE, "--kubeconfig", str(plane.kubeconfig()), values=values)

    plane.kubectl("create", "namespace", TEAM)
    with pytest.raises(HelmError, match="install once without it"):
        on_cluster("install", RELEASE, str(packaged), "--create-namespace", values=RUNTIMES)
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
        assert identities(plane) == before
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


def test_a_second_release_for_one_namespace_lives_beside_the_first(plane: ControlPlane) -> None:
    def on_cluster(*arguments: str, values: Object | None = None) -> str:
        return helm(*arguments, "--kubeconfig", str(plane.kubeconfig()), values=values)

    values = {"namespaces": ["team-b"], "crds": {"enabled": False}, "rbac": {"aggregate": False}}
    place = ("--namespace", "tools-b", "--create-namespace")
    with pytest.raises(HelmError, match='namespaces "team-b" not found'):
        on_cluster("install", "operator-b", str(CHART), *place, values=values)
    on_cluster("uninstall", "operator-b", "--namespace", "tools-b")

    plane.kubectl("create", "namespace", "team-b")
    on_cluster("install", "operator-b", str(CHART), *place, values=values)
    (deployment,) = plane.get("deployments", "-n", "tools-b")["items"]
    assert deployment["metadata"]["name"] == "operator-b-finetune-operator"
    (role,) = plane.get("roles", "-n", "team-b")["items"]
    assert role["metadata"]["name"] == "operator-b-finetune-operator"
    own = [r for r in plane.get("clusterroles")["items"] if "operator-b" in r["metadata"]["name"]]
    assert own == []
    on_cluster("uninstall", "operator-b", "--namespace", "tools-b")
    assert plane.get("roles", "-n", "team-b")["items"] == []


def test_a_job_outlives_a_field_that_a_new_version_no_longer_has(plane: ControlPlane, packaged: Path) -> None:
    team, place = "team-c", ("--namespace", NAMESPACE, "--kubeconfig", str(plane.kubeconfig()))
    plane.kubectl("create", "namespace", team)
    helm("upgrade", "--install", RELEASE, str(packaged), "--create-namespace", *place)
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    helm("upgrade", RELEASE, str(packaged), *place, values=RUNTIMES)

    with OperatorProcess(plane, LEASE_NAME=RELEASE, RESYNC_SECONDS="5"), Kubelet(plane, run_on) as kubelet:
        plane.apply(job("old", team, runtimeRef={"kind": "ClusterFineTuneRuntime", "name": "cpu"}))
        wait_for_state(plane, "old", team, "Running")
        before = identities(plane, "old", team)
        patch = json.dumps({"spec": {FIELD_OF_LONG_AGO: "which this operator cannot read"}})
        plane.kubectl("patch", "finetunejob", "old", "-n", team, "--type=merge", "-p", patch)
        assert FIELD_OF_LONG_AGO in plane.get("finetunejob", "old", "-n", team)["spec"]

        helm("upgrade", RELEASE, str(CHART), *place, values=RUNTIMES)
        spec = "the spec without the field"
        wait_for(spec, lambda: FIELD_OF_LONG_AGO not in plane.get("finetunejob", "old", "-n", team)["spec"])
        assert identities(plane, "old", team) == before
        kubelet.ending = lambda _: Ending()
        wait_for_state(plane, "old", team, "Succeeded")
    helm("uninstall", RELEASE, *place)
