"""Helm as a function."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster import build_tools
from finetune_api.objects import Object

CHART = Path(__file__).resolve().parents[2] / "charts" / "finetune-operator"
NAMESPACE = RELEASE = "finetune-operator"
MONITORING_KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
MONITORS = tuple(f"--api-versions=monitoring.coreos.com/v1/{kind}" for kind in MONITORING_KINDS)
KINDS = (*MONITORS, "--api-versions=finetune-operator.io/v1alpha1/ClusterFineTuneRuntime")
"""What a cluster has on which the Prometheus Operator and an earlier release are installed."""
ON_NODES: Object = {"imagesOnNodes": True}
"""Said with every release of the tests: their nodes have the images, or run no pods."""


class HelmError(Exception):
    """What Helm says."""


@dataclass(frozen=True)
class Place:
    """A namespace of a cluster, which need not be there, and the Helm that installs in it."""

    kubeconfig: Path
    namespace: str = NAMESPACE
    older: bool = False

    def helm(self, command: str, *arguments: str, values: Object | None = None) -> str:
        """What Helm writes.

        Raises:
            HelmError: if it refuses.
        """
        where = ("--namespace", self.namespace, "--kubeconfig", str(self.kubeconfig))
        made = ("--create-namespace",) if command == "install" else ()
        if command in ("install", "upgrade"):
            values = ON_NODES | (values or {})
        return helm(command, *arguments, *where, *made, values=values, older=self.older)


def helm(*arguments: str, values: Object | None = None, older: bool = False) -> str:
    """What Helm writes; `older`: that of version 3.

    Raises:
        HelmError: if it refuses.
    """
    given = ("--values", "-") if values is not None else ()
    text = yaml.safe_dump(values) if values is not None else None
    programs = build_tools.build(build_tools.OLDER_HELM if older else ())
    command = [str(programs["helm3" if older else "helm"]), *arguments, *given]
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise HelmError(result.stderr)
    return result.stdout


def render(
    values: Object | None = None, *flags: str, release: str = RELEASE, chart: str = str(CHART), older: bool = False
) -> list[Object]:
    """Objects of the chart with these values."""
    arguments = ("template", release, chart, "--namespace", NAMESPACE, *flags)
    text = helm(*arguments, values=ON_NODES | (values or {}), older=older)
    return [value for value in yaml.safe_load_all(text) if value]
