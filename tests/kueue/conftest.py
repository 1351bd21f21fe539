"""A control plane with Kueue in it, for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import build_tools
from cluster.conftest import namespace
from cluster.control_plane import ControlPlane, running, wait_for
from kueue.kueue_process import start_kueue

__all__ = ["namespace"]


@pytest.fixture(scope="session")
def plane(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with the operator's CRDs and rights, and Kueue."""
    programs = build_tools.build((*build_tools.CONTROL_PLANE, "kueue"))
    with running(ControlPlane(tmp_path_factory.mktemp("plane"), programs)) as plane:
        install = str(root / "manifests" / "install")
        wait_for("manifests/install", lambda: plane.succeeds("apply", "--server-side", "-k", install))
        plane.kubectl("delete", "deployment", "-n", "finetune-operator", "finetune-operator")
        start_kueue(plane)
        yield plane
