"""A cluster of its own: nothing of ours is on it before the chart, and nothing after a test."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
import yaml

from chart.helm import Place, helm
from cluster import build_tools
from cluster.conftest import namespace
from cluster.control_plane import ControlPlane, running, wait_for

__all__ = ["namespace"]
KEPT = tuple(f"{kind}.finetune-operator.io" for kind in ("finetunejobs", "finetuneruntimes", "clusterfinetuneruntimes"))
"""The CRDs that Helm leaves."""


@pytest.fixture(scope="session", autouse=True)
def _folders_of_helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Helm finds nothing of the user's: no cache, no plugins, no passwords."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CACHE", "CONFIG", "DATA"):
            patch.setenv(f"HELM_{kind}_HOME", str(tmp_path_factory.mktemp("helm")))
        yield


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for all tests."""
    with running(ControlPlane(tmp_path_factory.mktemp("plane"), build_tools.build(build_tools.CONTROL_PLANE))) as plane:
        yield plane


@pytest.fixture
def plane(started: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane with nothing of ours on it."""
    yield started
    kubeconfig = started.kubeconfig()
    for release in yaml.safe_load(helm("list", "-A", "--output", "yaml", "--kubeconfig", str(kubeconfig))):
        Place(kubeconfig, release["namespace"]).helm("uninstall", release["name"])
    delete_crds(started, KEPT)


def delete_crds(plane: ControlPlane, names: Sequence[str]) -> None:
    """Until they are gone.

    An API server that cannot list a kind's objects just then looks again in five minutes, or when the CRD changes.
    """
    plane.kubectl("delete", "crd", "--ignore-not-found", "--wait=false", *names)

    def are_gone() -> bool:
        found = {line.partition("/")[2] for line in plane.kubectl("get", "crd", "-o", "name").splitlines()} & set(names)
        for name in found:
            plane.succeeds("annotate", "crd", name, f"seen={time.monotonic()}", "--overwrite")
        return not found

    wait_for("the end of the CRDs", are_gone, every=0.2)


@pytest.fixture(params=[False, True], ids=["helm 4", "helm 3"])
def older(request: pytest.FixtureRequest) -> bool:
    """Both versions of Helm."""
    return bool(request.param)


@pytest.fixture
def place(plane: ControlPlane, older: bool) -> Place:
    """The operator's namespace, by either Helm."""
    return Place(plane.kubeconfig(), older=older)
