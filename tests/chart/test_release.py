"""Install, upgrade, roll back, uninstall on a real API server, while a job runs: nothing happens to the job."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from chart.helm import CHART, NAMESPACE, RELEASE, HelmError, Place, helm
from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import children, job, status, wait_for_state
from cluster.kubelet import Ending, Kubelet, run_on
from cluster.operator_process import OperatorProcess
from finetune_api.objects import Object

RUNTIMES = {"runtimes": {"cpu": {"enabled": True}}}
ON_THE_RUNTIME = {"runtimeRef": {"kind": "ClusterFineTuneRuntime", "name": "cpu"}}
FIELD_OF_LONG_AGO = "hintOfLongAgo"


@pytest.fixture
def packaged(tmp_path: Path) -> str:
    """The chart as an earlier version of itself, packaged; its jobs had a field more."""
    source = tmp_path / CHART.name
    shutil.copytree(CHART, source)
    crd = source / "templates" / "crds" / "finetunejobs.yaml"
    text = crd.read_text(encoding="utf-8")
    first = "              runtimeRef:\n"
    assert text.count(first) == 1
    crd.write_text(text.replace(first, f"              {FIELD_OF_LONG_AGO}:\n                type: string\n{first}"))
    helm("package", str(source), "--version", "0.0.9", "--destination", str(tmp_path))
    return str(tmp_path / f"{CHART.name}-0.0.9.tgz")


def identities(plane: ControlPlane, name: str, namespace: str) -> list[tuple[str, str]]:
    """uid of the job, and uids of its children."""
    own = plane.get("finetunejob", name, "-n", namespace)["metadata"]["uid"]
    jobs = plane.get("jobs", "-n", namespace)["items"]
    return [("FineTuneJob", own), *sorted((o["kind"], o["metadata"]["uid"]) for o in jobs)]


def install_with_runtime(plane: ControlPlane, place: Place, chart: str) -> str:
    """In the two steps that the notes of the first one name; returns the notes of the second."""
    place.helm("install", RELEASE, chart)
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    return place.helm("upgrade", RELEASE, chart, values=RUNTIMES)


def test_a_release_lives_while_a_job_runs(plane: ControlPlane, namespace: str, place: Place, packaged: str) -> None:
    with pytest.raises(HelmError, match="install once without it"):
        place.helm("install", RELEASE, packaged, values=RUNTIMES)
    notes = install_with_runtime(plane, place, packaged)
    assert "kubectl get finetunejobs -w" in notes
    assert "Its images are taken to be on every node" in notes

    with OperatorProcess(plane, LEASE_NAME=RELEASE), Kubelet(plane, run_on) as kubelet:
        plane.apply(job("steady", namespace, **ON_THE_RUNTIME))
        wait_for_state(plane, "steady", namespace, "Running")
        before = identities(plane, "steady", namespace)

        place.helm("upgrade", RELEASE, str(CHART), values=RUNTIMES | {"replicas": 2, "config": {"workers": 4}})
        (release,) = yaml.safe_load(place.helm("list", "--output", "yaml"))
        assert (release["chart"], release["status"]) == ("finetune-operator-0.1.0", "deployed")
        assert plane.get("deployment", RELEASE, "-n", NAMESPACE)["spec"]["replicas"] == 2
        assert identities(plane, "steady", namespace) == before
        place.helm("rollback", RELEASE, "2")
        assert plane.get("deployment", RELEASE, "-n", NAMESPACE)["spec"]["replicas"] == 1
        assert identities(plane, "steady", namespace) == before

        with pytest.raises(HelmError, match="invalid ownership metadata"):
            replace(place, namespace="other").helm("install", "second", str(CHART))

        kubelet.ending = lambda _: Ending()
        wait_for_state(plane, "steady", namespace, "Succeeded")

    place.helm("uninstall", RELEASE)
    wait_for("the Deployment's end", lambda: not plane.get("deployments", "-n", NAMESPACE)["items"])
    assert status(plane, "steady", namespace)["state"] == "Succeeded"
    assert children(plane, namespace)
    assert not [r for r in plane.get("clusterroles")["items"] if r["metadata"]["name"].startswith(RELEASE)]
    place.helm("install", RELEASE, str(CHART))  # finds the CRDs that were kept
    assert status(plane, "steady", namespace)["state"] == "Succeeded"


def test_without_the_kinds_of_monitors_nothing_is_installed(plane: ControlPlane, place: Place) -> None:
    monitors = {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}
    with pytest.raises(HelmError, match=r"Monitor\.enabled needs the CRD (Service|Pod)Monitor"):
        place.helm("install", RELEASE, str(CHART), values={"monitoring": monitors})
    assert yaml.safe_load(place.helm("list", "--output", "yaml")) == []
    for kind in ("serviceaccounts", "deployments", "clusterroles", "crd"):
        names = [one["metadata"]["name"] for one in plane.get(kind, "-A")["items"]]
        assert not [name for name in names if RELEASE in name], kind


def test_helm_4_takes_over_from_helm_3(plane: ControlPlane, packaged: str) -> None:
    place = Place(plane.kubeconfig())
    install_with_runtime(plane, replace(place, older=True), packaged)
    place.helm("upgrade", RELEASE, str(CHART), values={"replicas": 2})
    assert plane.get("deployment", RELEASE, "-n", NAMESPACE)["spec"]["replicas"] == 2
    assert plane.get("clusterfinetuneruntimes")["items"] == []
    fields = plane.get("crd", "finetunejobs.finetune-operator.io")["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert FIELD_OF_LONG_AGO not in fields["properties"]["spec"]["properties"]


def test_a_second_release_for_one_namespace_lives_beside_the_first(
    plane: ControlPlane, namespace: str, place: Place
) -> None:
    values = {"crds": {"enabled": False}, "rbac": {"aggregate": False}}
    place.helm("install", RELEASE, str(CHART))
    beside = replace(place, namespace="tools-b")
    with pytest.raises(HelmError, match='namespaces "team-b" not found'):
        beside.helm("install", "operator-b", str(CHART), values=values | {"namespaces": ["team-b"]})
    beside.helm("uninstall", "operator-b")

    beside.helm("install", "operator-b", str(CHART), values=values | {"namespaces": [namespace]})
    (deployment,) = plane.get("deployments", "-n", "tools-b")["items"]
    assert deployment["metadata"]["name"] == "operator-b-finetune-operator"
    (role,) = plane.get("roles", "-n", namespace)["items"]
    assert role["metadata"]["name"] == "operator-b-finetune-operator"
    own = [r for r in plane.get("clusterroles")["items"] if "operator-b" in r["metadata"]["name"]]
    assert own == []
    beside.helm("uninstall", "operator-b")
    assert plane.get("roles", "-n", namespace)["items"] == []


def test_a_job_outlives_a_field_that_a_new_version_no_longer_has(
    plane: ControlPlane, namespace: str, packaged: str
) -> None:
    place = Place(plane.kubeconfig())
    install_with_runtime(plane, place, packaged)

    def spec() -> Object:
        found: Object = plane.get("finetunejob", "old", "-n", namespace)["spec"]
        return found

    with OperatorProcess(plane, LEASE_NAME=RELEASE, RESYNC_SECONDS="5"), Kubelet(plane, run_on) as kubelet:
        plane.apply(job("old", namespace, **ON_THE_RUNTIME))
        wait_for_state(plane, "old", namespace, "Running")
        before = identities(plane, "old", namespace)
        patch = json.dumps({"spec": {FIELD_OF_LONG_AGO: "which this operator cannot read"}})
        plane.kubectl("patch", "finetunejob", "old", "-n", namespace, "--type=merge", "-p", patch)
        assert FIELD_OF_LONG_AGO in spec()

        place.helm("upgrade", RELEASE, str(CHART), values=RUNTIMES)
        wait_for("the spec without the field", lambda: FIELD_OF_LONG_AGO not in spec())
        assert identities(plane, "old", namespace) == before
        kubelet.ending = lambda _: Ending()
        wait_for_state(plane, "old", namespace, "Succeeded")
