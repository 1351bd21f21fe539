"""The operator as a process of its own, outside the cluster, with the rights of its service account."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

import lifeline
from cluster.control_plane import STOP_SECONDS, ControlPlane, free_ports, wait_for


class OperatorProcess:
    """Runs between `start` and `kill`.

    Args:
        plane: where it works.
        server: URL of the API server, if not the real one.
        name: of the replica; also of its log.
        environment: more settings.
    """

    def __init__(
        self,
        plane: ControlPlane,
        server: str | None = None,
        name: str = "operator",
        **environment: str,
    ) -> None:
        self._plane = plane
        self._server = server
        self._name = name
        self.surrounding: dict[str, str] = {}
        """Environment variables of the process that are no settings."""
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self._plane.folder / f"{self._name}.log"

    def start(self, *, wait: bool = True) -> Self:
        """Start it; `wait` until it serves."""
        self.port = free_ports(1)[0]
        settings = {
            "KUBECONFIG": str(self._plane.kubeconfig("operator", self._server)),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.port),
            "IDENTITY": self._name,
            "STATUS_INTERVAL_SECONDS": "1",
            "LEASE_SECONDS": "3",
            "WRITES_PER_SECOND": "500",
            "WRITE_BURST": "500",
        } | self._environment
        environment = os.environ | {f"FINETUNE_OPERATOR_{key}": value for key, value in settings.items()}
        environment |= self.surrounding
        program = Path(sys.executable).with_name("finetune-operator")
        with self.log.open("ab") as log:
            self.process = lifeline.start([program], stdout=log, stderr=log, env=environment)
        if wait:
            wait_for("the operator", lambda: self.is_leader() and self.ask("readyz") is not None)
        return self

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def ask(self, path: str) -> str | None:
        """The answer of its health server, if it is good."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the operator ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    def series(self, name: str) -> dict[str, float]:
        """One of its own metrics at one moment: values by series."""
        lines = [x for x in (self.ask("metrics") or "").splitlines() if x.startswith(f"finetune_operator_{name}")]
        return {series: float(value) for series, value in (x.rsplit(maxsplit=1) for x in lines)}

    def metric(self, name: str, *labels: str) -> float:
        """Sum of the series of one of its own metrics that have these labels."""
        return sum(value for series, value in self.series(name).items() if all(label in series for label in labels))

    def visits(self) -> float:
        """Visits that ended well."""
        return self.metric("reconciles_total", 'result="success"')

    def is_leader(self) -> bool:
        """Whether it acts."""
        return self.metric("is_leader") == 1

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
