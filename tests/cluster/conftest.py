"""One control plane for all tests of a session; each test has a namespace of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import build_tools
from cluster.control_plane import ControlPlane, running
from cluster.installed import install_without_operator

_numbers = itertools.count()


@pytest.fixture(scope="session")
def plane(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with the operator's CRDs, runtimes and rights installed, and no operator."""
    programs = build_tools.build(build_tools.CONTROL_PLANE)
    with running(ControlPlane(tmp_path_factory.mktemp("plane"), programs)) as plane:
        install_without_operator(plane, root)
        yield plane


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """A namespace that goes away with the test."""
    name = f"test-{next(_numbers)}"
    plane.kubectl("create", "namespace", name)
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")
