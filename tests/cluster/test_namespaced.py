"""An operator of single namespaces on a real API server: it has the Roles of manifests/install-namespaced, no more."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.control_plane import NAMESPACED, ControlPlane, wait_for
from cluster.jobs import children, job, status, wait_for_state
from cluster.kubelet import Kubelet, run_on
from cluster.operator_process import OperatorProcess
from finetune_api import labels
from finetune_api.base import API_VERSION
from finetune_api.objects import Object

CLUSTER_RUNTIME = {"kind": "ClusterFineTuneRuntime", "name": "cpu"}
RUNTIME = {"kind": "FineTuneRuntime", "name": "team"}


@pytest.fixture(scope="module")
def parts(root: Path) -> Path:
    """What is shipped."""
    return root / "manifests" / "install-namespaced"


@pytest.fixture(scope="module")
def served(plane: ControlPlane, parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The served namespace, with a runtime of its own; the operator's rights are installed as a user would."""
    name = "served"
    plane.kubectl("create", "namespace", name)
    folder = tmp_path_factory.mktemp("kustomize")
    subject = {"kind": "ServiceAccount", "name": "finetune-operator", "namespace": NAMESPACED}
    layer(folder / "operator", NAMESPACED, parts / "operator")
    replaced = [{"op": "replace", "path": "/subjects/0", "value": subject}]
    layer(folder / "rights", name, parts / "rights", ("RoleBinding", replaced))
    for part in ("operator", "rights"):
        plane.kubectl("apply", "--server-side", "-k", str(folder / part))
    plane.kubectl("delete", "deployment", "-n", NAMESPACED, "finetune-operator")
    plane.apply(
        {
            "apiVersion": API_VERSION,
            "kind": "FineTuneRuntime",
            "metadata": {"name": "team", "namespace": name},
            "spec": {"image": "registry.example/trainer@sha256:" + 64 * "0"},
        }
    )
    yield name
    plane.kubectl("delete", "namespace", name, NAMESPACED, "--timeout=60s")


def layer(folder: Path, namespace: str, base: Path, *patches: tuple[str, list[Object]]) -> None:
    """A kustomization like install-namespaced/team-a."""
    folder.mkdir()
    value = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(base, folder.resolve())],
        "patches": [{"target": {"kind": kind}, "patch": json.dumps(patch)} for kind, patch in patches],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(value), encoding="utf-8")


def operator_of(plane: ControlPlane, *namespaces: str, replica: str = NAMESPACED) -> OperatorProcess:
    """Looks at everything often."""
    settings = {
        "KUBECONFIG": str(plane.kubeconfig(NAMESPACED)),
        "NAMESPACE": NAMESPACED,
        "NAMESPACES": ",".join(namespaces),
        "CHILDREN_SECONDS": "1",
        "RESYNC_SECONDS": "5",
    }
    return OperatorProcess(plane, name=replica, **settings)


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, served: str) -> Iterator[OperatorProcess]:
    """It serves one namespace."""
    with operator_of(plane, served) as operator:
        yield operator


def valid(plane: ControlPlane, name: str, namespace: str) -> Object | None:
    """The condition Valid, once it is decided."""
    conditions = status(plane, name, namespace).get("conditions", ())
    return next((c for c in conditions if c["type"] == "Valid" and c["status"] != "Unknown"), None)


def count(operator: OperatorProcess, *parts: str) -> float:
    """Sum of the metrics whose lines contain all parts."""
    lines = (operator.ask("metrics") or "").splitlines()
    return sum(float(x.split()[-1]) for x in lines if not x.startswith("#") and all(part in x for part in parts))


def wait_for_a_look_at_everything(operator: OperatorProcess) -> None:
    """Until jobs were listed anew."""
    lists = ("finetune_operator_api_requests_total", 'kind="FineTuneJob"', 'verb="GET"')
    before = count(operator, *lists)
    wait_for("a list of the jobs", lambda: count(operator, *lists) > before + 1)


def refused(operator: OperatorProcess) -> float:
    """Requests that the API server forbade."""
    return count(operator, "finetune_operator_api_requests_total", 'code="403"')


def test_what_is_shipped_has_no_right_on_the_cluster(plane: ControlPlane, parts: Path) -> None:
    values: list[Object] = list(yaml.safe_load_all(plane.kubectl("kustomize", str(parts))))
    assert [v["kind"] for v in values if v["kind"].startswith("ClusterRole")] == []
    roles = {v["metadata"]["namespace"]: v for v in values if v["kind"] == "Role"}
    container = one(values, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    (named,) = (e["value"] for e in container["env"] if e["name"] == "FINETUNE_OPERATOR_NAMESPACES")
    assert set(roles) == {"finetune-operator", named}
    whole: list[Object] = list(yaml.safe_load_all(plane.kubectl("kustomize", str(parts.parent / "install"))))
    expected = one(whole, "ClusterRole")["rules"]
    for rule in expected:
        rule["resources"] = [r for r in rule["resources"] if r != "clusterfinetuneruntimes"]
    assert roles[named]["rules"] == expected
    assert {v["roleRef"]["kind"] for v in values if v["kind"] == "RoleBinding"} == {"Role"}


def one(values: list[Object], kind: str) -> Object:
    """The only object of a kind."""
    (found,) = (v for v in values if v["kind"] == kind)
    return found


def test_it_serves_its_namespace_and_no_other(
    plane: ControlPlane, namespace: str, served: str, operator: OperatorProcess
) -> None:
    with Kubelet(plane):
        plane.apply(job("foreign", namespace, runtimeRef=RUNTIME), job("own", served, runtimeRef=RUNTIME))
        found = wait_for_state(plane, "own", served, "Succeeded")
    assert [s["state"] for s in found["stages"]] == ["Succeeded"] * 3
    wait_for_a_look_at_everything(operator)
    assert "conditions" not in status(plane, "foreign", namespace), "it has what the API server shows by itself"
    assert children(plane, namespace) == []
    assert plane.get("events.events.k8s.io", "-n", served)["items"], "it may write events"
    assert refused(operator) == 0
    assert "forbidden" not in operator.log.read_text().lower()


def test_a_child_by_hand_comes_back(plane: ControlPlane, served: str, operator: OperatorProcess) -> None:
    """Repairs are decided on fresh reads: those need no right on the cluster either."""
    with Kubelet(plane, run_on):
        plane.apply(job("whole", served, runtimeRef=RUNTIME))
        plane.kubectl("wait", "-n", served, "--for=condition=PodsReady", "ftj/whole", "--timeout=60s")
        before = children(plane, served)
        plane.kubectl("delete", "services", "-n", served, "-l", f"{labels.JOB}=whole")
        wait_for("the Service", lambda: children(plane, served) == before)
    plane.kubectl("delete", "ftj", "whole", "-n", served)
    assert refused(operator) == 0


def test_a_runtime_of_the_cluster_is_refused_with_a_remedy(
    plane: ControlPlane, served: str, operator: OperatorProcess
) -> None:
    plane.apply(job("reaching", served, runtimeRef=CLUSTER_RUNTIME))
    condition = wait_for("Valid", lambda: valid(plane, "reaching", served))
    assert (condition["status"], condition["reason"]) == ("False", "RuntimeNotFound")
    assert condition["message"] == (
        "spec.runtimeRef.kind: ClusterFineTuneRuntime cpu is out of reach: this operator serves single namespaces. "
        "Create a FineTuneRuntime in this namespace, and name it in a new job"
    )
    visits, writes = ("reconciles_total", 'result="success"'), ("requests_total", 'verb="PATCH"')
    before, written = count(operator, *visits), count(operator, *writes)
    plane.kubectl("annotate", "ftj", "reaching", "-n", served, "note=look-again")
    wait_for("another visit", lambda: count(operator, *visits) > before)
    assert count(operator, *writes) == written
    assert count(operator, "reconciles_total", 'result="error"') == 0
    assert not [name for kind, name in children(plane, served) if name.startswith("reaching")]
    assert refused(operator) == 0
    assert "forbidden" not in operator.log.read_text().lower()
