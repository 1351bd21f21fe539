"""A cluster of its own: nothing of ours is on it before the chart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster import build_tools
from cluster.control_plane import ControlPlane, running


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with nothing of ours on it."""
    with running(ControlPlane(tmp_path_factory.mktemp("plane"), build_tools.build(build_tools.CONTROL_PLANE))) as plane:
        yield plane
