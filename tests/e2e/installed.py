"""What is on a cluster before a job comes: the operator, and what a platform team gives to a team."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chart.helm import helm
from cluster.control_plane import ControlPlane, wait_for

Object = dict[str, Any]
OPERATOR_IMAGE = "localhost/finetune-operator/operator:0.1.0"
TRAINER_IMAGE = "localhost/finetune-operator/trainer:0.1.0"
IMAGES = (OPERATOR_IMAGE, TRAINER_IMAGE)
TRAINER_USER = 65532


def install_operator(plane: ControlPlane, root: Path) -> None:
    """Apply `manifests/install` as its first line says, and wait until the operator is ready."""
    manifests = str(root / "manifests/install")
    wait_for("manifests/install", lambda: plane.succeeds("apply", "--server-side", "-k", manifests))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    deployment = "deployment/finetune-operator"
    plane.kubectl("wait", "--for=condition=Available", deployment, "-n", "finetune-operator", "--timeout=90s")


def install_chart(plane: ControlPlane, root: Path) -> str:
    """`helm install` as the chart's README types it; returns its notes. The operator is ready."""
    place = ("--namespace", "finetune-operator", "--kubeconfig", str(plane.kubeconfig()))
    chart = str(root / "charts" / "finetune-operator")
    return helm("install", "finetune-operator", chart, *place, "--create-namespace", "--wait", "--timeout", "90s")


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
