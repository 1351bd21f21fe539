"""The image policy on a real API server: runtimes name what it allows, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chart.helm import CHART, RELEASE, Place
from chart.toggles import DIGEST
from cluster.control_plane import ControlPlane, KubectlError, wait_for
from finetune_api.objects import Object

PREFIX = "registry.example.com/ml/"
GOOD = f"{PREFIX}trainer@{DIGEST}"
POLICY = {"enabled": True, "prefixes": [PREFIX]}


def runtime(image: str, namespace: str | None, name: str = "own") -> Object:
    """A runtime of a team, or of the whole cluster."""
    kind = "ClusterFineTuneRuntime" if namespace is None else "FineTuneRuntime"
    metadata = {"name": name} | ({"namespace": namespace} if namespace is not None else {})
    return {"apiVersion": "finetune-operator.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": {"image": image}}


def install(plane: ControlPlane, **values: Any) -> None:
    """The chart with the policy; returns when the API server has heard of it."""
    Place(plane.kubeconfig()).helm("install", RELEASE, str(CHART), values={"imagePolicy": POLICY, **values})
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def is_refused(plane: ControlPlane, value: Object) -> bool:
    """Whether the API server says no, without storing what it says yes to."""
    try:
        plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(value))
    except KubectlError as error:
        return "image policy" in str(error)
    return False


@pytest.mark.parametrize("is_cluster_wide", [False, True], ids=["of a team", "of the cluster"])
def test_runtimes_name_what_the_policy_allows(plane: ControlPlane, namespace: str, is_cluster_wide: bool) -> None:
    install(plane)
    where = None if is_cluster_wide else namespace
    elsewhere = runtime(f"evil.example.com/ml/trainer@{DIGEST}", where)
    wait_for("the policy", lambda: is_refused(plane, elsewhere))
    with pytest.raises(KubectlError, match=f"evil.example.com.* is not from {PREFIX}"):
        plane.apply(elsewhere)
    with pytest.raises(KubectlError, match=r"trainer:1\.0 has no digest"):
        plane.apply(runtime(f"{PREFIX}trainer:1.0", where))
    plane.apply(runtime(GOOD, where))
    with pytest.raises(KubectlError, match="has no digest"):
        plane.apply(runtime(f"{PREFIX}trainer:latest", where))
    kind = "clusterfinetuneruntimes" if is_cluster_wide else "finetuneruntimes"
    (stored,) = plane.get(kind, "-A")["items"]
    assert stored["spec"]["image"] == GOOD


def test_an_operator_of_some_namespaces_says_nothing_about_others(plane: ControlPlane, namespace: str) -> None:
    install(plane, namespaces=[namespace], rbac={"aggregate": False})
    wrong = "evil.example.com/trainer:1"
    wait_for("the policy", lambda: is_refused(plane, runtime(wrong, namespace)))
    plane.apply(runtime(wrong, "default"))
    plane.apply(runtime(wrong, None))
