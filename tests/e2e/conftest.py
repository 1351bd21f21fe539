"""One real node for all tests of a session, with the operator running on it as a pod."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import build_tools
from cluster.control_plane import ControlPlane, wait_for
from e2e.installed import (
    IMAGES,
    TRAINER_IMAGE,
    TRAINER_USER,
    install_chart,
    install_operator,
    namespace_with_workspace,
)
from e2e.node_requirements import NAMESPACES
from e2e.real_node import RealNode, in_own_namespaces, plane_for_node

_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    """For a machine of which nobody knows yet whether it can hold a node."""
    parser.addoption("--skip-without-node", action="store_true", help="skip, not fail, where the node does not start")
    parser.addoption("--chart", action="store_true", help="install the operator by its chart, not by its manifests")


@pytest.fixture(scope="session")
def node(root: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[RealNode]:
    """A node, ready, with nothing on it."""
    if not in_own_namespaces():
        pytest.fail(f"make test-e2e runs these tests where no packet can leave: {' '.join(NAMESPACES)}")
    programs = build_tools.build((*build_tools.CONTROL_PLANE, *build_tools.NODE))
    plane = plane_for_node(tmp_path_factory.mktemp("node"), programs)
    node = RealNode(plane, root, IMAGES)
    try:
        node.start()  # what a failed start leaves ends with the process namespace
        run_any_pod(node)
    except Exception as error:
        if pytestconfig.getoption("--skip-without-node"):
            pytest.skip(f"this machine holds no node that runs pods: {error}")
        raise
    yield node
    node.stop()


def run_any_pod(node: RealNode) -> None:
    """What the machine forbids to every container shows here, and not in a test of the product."""
    container = {"name": "any", "image": TRAINER_IMAGE, "command": ["python3", "-c", "import finetune_trainer"]}
    metadata = {"name": "any-pod", "namespace": "default"}
    spec = {"restartPolicy": "Never", "containers": [container]}
    node.plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    succeeded = "--for=jsonpath={.status.phase}=Succeeded"
    node.plane.kubectl("wait", succeeded, "pod/any-pod", "-n", "default", "--timeout=60s")
    node.plane.kubectl("delete", "pod", "any-pod", "-n", "default", "--now")


@pytest.fixture(scope="session")
def plane(node: RealNode, root: Path, pytestconfig: pytest.Config) -> ControlPlane:
    """The control plane of the node, with the operator installed and ready."""
    install = install_chart if pytestconfig.getoption("--chart") else install_operator
    install(node.plane, root)
    return node.plane


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
