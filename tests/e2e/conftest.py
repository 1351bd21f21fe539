"""One real node for all tests of a session, with the operator running on it as a pod."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import build_tools
from cluster.control_plane import ControlPlane, wait_for
from e2e.node_requirements import NAMESPACES
from e2e.real_node import RealNode, in_own_namespaces, plane_for_node

OPERATOR_IMAGE = "docker.io/finetune-operator/operator:0.1.0"
TRAINER_IMAGE = "docker.io/finetune-operator/trainer:0.1.0"
TRAINER_USER = 65532
_numbers = itertools.count()


@pytest.fixture(scope="session")
def node(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A node, ready, with nothing on it."""
    if not in_own_namespaces():
        pytest.fail(f"make test-e2e runs these tests where no packet can leave: {' '.join(NAMESPACES)}")
    programs = build_tools.build((*build_tools.CONTROL_PLANE, *build_tools.NODE))
    plane = plane_for_node(tmp_path_factory.mktemp("node"), programs)
    node = RealNode(plane, root, [OPERATOR_IMAGE, TRAINER_IMAGE])
    node.start()  # what a failed start leaves ends with the process namespace
    yield node
    node.stop()


@pytest.fixture(scope="session")
def plane(node: RealNode, root: Path) -> ControlPlane:
    """The control plane of the node, with `manifests/install` applied and the operator ready."""
    plane = node.plane
    wait_for(
        "manifests/install", lambda: plane.succeeds("apply", "--server-side", "-k", str(root / "manifests/install"))
    )
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    plane.kubectl(
        "wait", "--for=condition=Available", "deployment/finetune-operator", "-n", "finetune-operator", "--timeout=90s"
    )
    return plane


@pytest.fixture
def namespace(plane: ControlPlane, tmp_path: Path) -> Iterator[str]:
    """A namespace under restricted Pod Security with a runtime and a workspace claim; its volume is `tmp_path`."""
    name = f"test-{next(_numbers)}"
    os.chown(tmp_path, TRAINER_USER, TRAINER_USER)
    plane.apply(*namespace_with_workspace(name, tmp_path))
    wait_for("the service account", lambda: plane.succeeds("get", "serviceaccount", "default", "-n", name))
    yield name
    plane.kubectl("delete", "namespace", name, "--timeout=60s")
    plane.kubectl("delete", "persistentvolume", name)


def namespace_with_workspace(name: str, folder: Path) -> list[dict[str, object]]:
    """What a platform team prepares for a team: namespace, volume, claim, and a runtime that fits two cores."""
    size = {"storage": "1Gi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": name, "name": "workspace"},
                "storageClassName": "",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "workspace", "namespace": name},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": size},
                "volumeName": name,
                "storageClassName": "",
            },
        },
        {
            "apiVersion": "finetune-operator.io/v1alpha1",
            "kind": "FineTuneRuntime",
            "metadata": {"name": "small", "namespace": name},
            "spec": {
                "image": TRAINER_IMAGE,
                "environment": [
                    {"name": "OMP_NUM_THREADS", "value": "1"},
                    {"name": "DS_ACCELERATOR", "value": "cpu"},
                ],
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
            },
        },
    ]
