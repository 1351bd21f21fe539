"""Helm as a function."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from cluster import build_tools

Object = dict[str, Any]
CHART = Path(__file__).resolve().parents[2] / "charts" / "finetune-operator"
NAMESPACE = RELEASE = "finetune-operator"
MONITORING_KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
MONITORS = tuple(f"--api-versions=monitoring.coreos.com/v1/{kind}" for kind in MONITORING_KINDS)


class HelmError(Exception):
    """What Helm says."""


def helm(*arguments: str, values: Object | None = None) -> str:
    """What Helm writes.

    Raises:
        HelmError: if it refuses.
    """
    given = ("--values", "-") if values is not None else ()
    text = yaml.safe_dump(values) if values is not None else None
    command = [str(build_tools.build(())["helm"]), *arguments, *given]
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise HelmError(result.stderr)
    return result.stdout


def render(values: Object | None = None, *flags: str, release: str = RELEASE) -> list[Object]:
    """Objects of the chart with these values."""
    text = helm("template", release, str(CHART), "--namespace", NAMESPACE, *flags, values=values or {})
    return [value for value in yaml.safe_load_all(text) if value]
