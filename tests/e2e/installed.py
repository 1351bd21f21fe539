"""What is on a cluster before a job comes: the operator, and what a platform team gives to a team."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cluster.control_plane import ControlPlane, wait_for
from finetune_api.objects import Object

OPERATOR_IMAGE = "localhost/finetune-operator/operator:0.1.0"
TRAINER_IMAGE = "localhost/finetune-operator/trainer:0.1.0"
IMAGES = (OPERATOR_IMAGE, TRAINER_IMAGE)
TRAINER_USER = 65532
REGISTRY = "image.registry=registry.example.com"
"""What the page says of the reader's registry."""


def install_operator(plane: ControlPlane, root: Path) -> None:
    """Apply `manifests/install` as its first line says, and wait until the operator is ready."""
    manifests = str(root / "manifests/install")
    wait_for("manifests/install", lambda: plane.succeeds("apply", "--server-side", "-k", manifests))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    deployment = "deployment/finetune-operator"
    plane.kubectl("wait", "--for=condition=Available", deployment, "-n", "finetune-operator", "--timeout=90s")


def install_chart(plane: ControlPlane, root: Path) -> None:
    """Type what the platform team's page says, from install to helm test; the operator is ready then."""
    page = (root / "docs" / "tasks" / "platform-team.md").read_text(encoding="utf-8")
    typed = page.partition("## Install\n\n```sh\n")[2].partition("```")[0]
    assert typed.count("helm") > 2, page
    assert typed.count(REGISTRY) == 1, page
    typed = typed.replace(REGISTRY, "imagesOnNodes=true")  # the node has the images, and no registry
    programs = plane.programs["kubectl"].parent
    environment = os.environ | {"KUBECONFIG": str(plane.kubeconfig()), "PATH": f"{programs}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["sh", "-e"], input=typed, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Phase:          Succeeded" in result.stdout, result.stdout


def namespace_with_workspace(name: str, folder: Path) -> list[Object]:
    """What a platform team prepares for a team: namespace, volume, claim, and a runtime that fits two cores."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        *volume_with_claim(name, name, "workspace", folder),
        {
            "apiVersion": "finetune-operator.io/v1alpha1",
            "kind": "FineTuneRuntime",
            "metadata": {"name": "small", "namespace": name},
            "spec": {
                "image": TRAINER_IMAGE,
                "environment": [
                    {"name": "OMP_NUM_THREADS", "value": "1"},
                    {"name": "DS_ACCELERATOR", "value": "cpu"},
                ],
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
            },
        },
    ]


def volume_with_claim(volume: str, namespace: str, claim: str, folder: Path) -> list[Object]:
    """A folder of this machine as a volume, and the claim that it is for."""
    modes = ["ReadWriteMany", "ReadWriteOnce"]
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": "1Ti"},
                "accessModes": modes,
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": namespace, "name": claim},
                "storageClassName": "",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": namespace},
            "spec": {
                "accessModes": modes,
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": volume,
                "storageClassName": "",
            },
        },
    ]
