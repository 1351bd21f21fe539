"""`make cluster`: a Kubernetes cluster with the operator on it, and a shell to use it; gone when the shell ends.

`make cluster BARE=1` leaves the operator out, so that its installation can be typed.
"""

from __future__ import annotations

import argparse
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
The cluster has a node of its own, without a network to the outside.
  kubectl get nodes,pods -A
{next}
The folder of the claim "workspace" of namespace team is {workspace}; exit ends the cluster.
"""
APPLY = '  kubectl apply -n team -f manifests/samples/...   # namespace team has the runtime "small"'
INSTALL = (
    "  helm install finetune-operator charts/finetune-operator --namespace finetune-operator --create-namespace --wait"
    " --set imagesOnNodes=true"
)


def main() -> int:
    """Start it in namespaces of its own, and remove its files once these are gone with all that was mounted there."""
    missing = node_requirements.missing()
    if missing:
        build_tools.say("A cluster cannot run here: " + "; ".join(missing))
        return 2
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bare", action="store_true", help="without the operator")
    parser.add_argument("--folder", type=Path, help="serve in this folder, in the namespaces of the caller")
    arguments = parser.parse_args()
    if arguments.folder:
        return serve(arguments.folder, bare=arguments.bare)
    with tempfile.TemporaryDirectory(prefix="finetune-cluster-") as folder:
        inside = [*node_requirements.NAMESPACES, sys.executable, "-m", "e2e.developer_cluster", f"--folder={folder}"]
        return subprocess.run([*inside, *sys.argv[1:]], check=False).returncode


def serve(folder: Path, *, bare: bool) -> int:
    """A cluster in `folder`, from start to the end of the shell; `bare`: without the operator."""
    programs = build_tools.build((*build_tools.CONTROL_PLANE, *build_tools.NODE))
    node = RealNode(plane_for_node(folder / "node", programs), ROOT, IMAGES)
    build_tools.say("Starting Kubernetes ...")
    node.start()
    try:
        workspace = folder / "workspace"
        workspace.mkdir()
        os.chown(workspace, TRAINER_USER, TRAINER_USER)
        prepared = namespace_with_workspace(TEAM, workspace)
        if bare:
            prepared = [value for value in prepared if value["kind"] != "FineTuneRuntime"]
        else:
            build_tools.say("Installing the operator ...")
            install_operator(node.plane, ROOT)
        node.plane.apply(*prepared)
        build_tools.say(WELCOME.format(workspace=workspace, next=INSTALL if bare else APPLY))
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
