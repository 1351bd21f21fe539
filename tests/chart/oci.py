"""A registry on loopback, and what lies in it."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import build_tools
from cluster.control_plane import LOOPBACK, free_ports, wait_for
from cluster.processes import beside


@dataclass(frozen=True)
class Registry:
    """A registry that runs; it has neither TLS nor passwords."""

    port: int

    @property
    def charts(self) -> str:
        """Where charts are pushed to, as Helm names it."""
        return f"oci://{LOOPBACK}:{self.port}/charts"

    def digest(self, chart: str, version: str) -> str:
        """Of a chart that was pushed, as the registry says.

        Raises:
            HTTPError: if it has no such chart.
        """
        with self._ask("HEAD", f"charts/{chart}/manifests/{version}") as answer:
            return str(answer.headers["Docker-Content-Digest"])

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            with self._ask("GET", ""):
                return True
        except OSError:
            return False

    def _ask(self, method: str, path: str) -> http.client.HTTPResponse:
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.port}/v2/{path}", method=method)
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=5)
        return answer


@contextmanager
def running(folder: Path) -> Iterator[Registry]:
    """A registry, from start to stop; `folder` gets its log."""
    (port,) = free_ports(1)
    program = build_tools.build(build_tools.REGISTRY)["registry"]
    with beside([program, str(port)], folder / "registry.log"):
        registry = Registry(port)
        wait_for("the registry", registry.is_ready)
        yield registry
