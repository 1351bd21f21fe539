"""`make cluster`: a Kubernetes cluster with the operator on it, and a shell to use it; gone when the shell ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cluster import build_tools
from e2e import node_requirements
from e2e.installed import IMAGES, TRAINER_USER, install_operator, namespace_with_workspace
from e2e.real_node import RealNode, plane_for_node

ROOT = Path(__file__).resolve().parents[2]
TEAM = "team"
WELCOME = """
The operator runs on a node of its own, without a network to the outside.
  kubectl get nodes,pods -A
  kubectl apply -n team -f manifests/samples/...   # namespace team has the claim "workspace" and the runtime "small"
The folder of the claim is {workspace}; exit ends the cluster.
"""


def main() -> int:
    """Start it in namespaces of its own, and remove its files once these are gone with all that was mounted there."""
    missing = node_requirements.missing()
    if missing:
        build_tools.say("A cluster cannot run here: " + "; ".join(missing))
        return 2
    if sys.argv[1:]:
        return serve(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory(prefix="finetune-cluster-") as folder:
        inside = [*node_requirements.NAMESPACES, sys.executable, "-m", "e2e.developer_cluster", folder]
        return subprocess.run(inside, check=False).returncode


def serve(folder: Path) -> int:
    """A cluster in `folder`, from start to the end of the shell."""
    programs = build_tools.build((*build_tools.CONTROL_PLANE, *build_tools.NODE))
    node = RealNode(plane_for_node(folder / "node", programs), ROOT, IMAGES)
    build_tools.say("Starting Kubernetes ...")
    node.start()
    try:
        workspace = folder / "workspace"
        workspace.mkdir()
        os.chown(workspace, TRAINER_USER, TRAINER_USER)
        build_tools.say("Installing the operator ...")
        install_operator(node.plane, ROOT)
        node.plane.apply(*namespace_with_workspace(TEAM, workspace))
        build_tools.say(WELCOME.format(workspace=workspace))
        return _shell(node, programs["kubectl"].parent)
    finally:
        node.stop()


def _shell(node: RealNode, tools: Path) -> int:
    environment = os.environ | {
        "KUBECONFIG": str(node.plane.kubeconfig()),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PS1": "(cluster) ",
    }
    return subprocess.run([os.environ.get("SHELL", "/bin/sh")], env=environment, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
