"""kube-router makes the node keep NetworkPolicies; it routes nothing and proxies no service here."""

from __future__ import annotations

from pathlib import Path

from cluster.control_plane import NODE, ControlPlane

FILTERS_BRIDGES = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
"""Whether packets between pods of one bridge are filtered; of this network namespace alone."""


def enforce(plane: ControlPlane) -> None:
    """Start it beside a node that is ready; it comes into force within a second or two of each change."""
    FILTERS_BRIDGES.write_text("1\n", encoding="ascii")
    plane.run(
        "kube-router",
        f"--kubeconfig={plane.kubeconfig()}",
        f"--hostname-override={NODE}",
        "--run-router=false",
        "--run-service-proxy=false",
        "--run-firewall=true",
        "--run-loadbalancer=false",
        "--enable-cni=false",
        "--health-port=0",
        "--metrics-port=0",
    )
