"""What is on the control plane before an operator comes."""

from __future__ import annotations

from pathlib import Path

from cluster.control_plane import ControlPlane, wait_for


def install_without_operator(plane: ControlPlane, root: Path) -> None:
    """The operator's CRDs, runtimes and rights, and no operator."""
    for part in ("install", "runtimes"):
        wait_for(
            f"manifests/{part}",
            lambda part=part: plane.succeeds("apply", "--server-side", "-k", str(root / "manifests" / part)),  # type: ignore[misc]
        )
    plane.kubectl("delete", "deployment", "-n", "finetune-operator", "finetune-operator")
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
