"""Cases of every rule of the runtimes, for the CEL library here and for the API server in tests/cluster."""

from __future__ import annotations

from finetune_api.objects import Object

GOOD: Object = {
    "image": "registry.example/trainer@sha256:0",
    "environment": [{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "NCCL_DEBUG", "value": "INFO"}],
    "resources": {"requests": {"cpu": "500m", "memory": "1.5Gi"}, "limits": {"nvidia.com/gpu": "1"}},
    "sharedMemory": "64Mi",
    "scheduling": {"priorityClassName": "batch", "queueName": "team-a"},
    "volumes": [
        {"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "certificates", "configMap": {"name": "company-ca"}},
        {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
    ],
    "volumeMounts": [
        {"name": "cache", "mountPath": "/cache"},
        {"name": "certificates", "mountPath": "/etc/ssl/certs/company.pem", "subPath": "ca/company.pem"},
        {"name": "models", "mountPath": "/models", "readOnly": True},
    ],
}
"""A runtime that a tenant may write."""

FAILING: list[tuple[str, Object, str]] = [
    ("a volume has exactly one of", {"volumes": [{"name": "v"}]}, "spec.volumes[0]"),
    ("environment must not set", {"environment": [{"name": "LD_PRELOAD", "value": "/x.so"}]},
     "spec.environment|[0].name"),
    ("must not be one of the system's", {"scheduling": {"priorityClassName": "system-node-critical"}},
     "spec.scheduling.priorityClassName"),
    ("mountPath must not contain '..'", {"volumeMounts": [{"name": "v", "mountPath": "/a/../b"}]},
     "spec.volumeMounts[0].mountPath"),
    ("subPath must not contain '..'", {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]},
     "spec.volumeMounts[0].subPath"),
    ("mountPath must not be in /claims", {"volumeMounts": [{"name": "v", "mountPath": "/etc/finetune"}]},
     "spec.volumeMounts[0].mountPath"),
    ("mountPath must not be in /dev", {"volumeMounts": [{"name": "v", "mountPath": "/dev/infiniband"}]},
     "spec.volumeMounts[0].mountPath"),
]  # fmt: skip
"""What a tenant may not: message, changed fields of the spec, field that is named."""

ONLY_FOR_THE_PLATFORM_TEAM: Object = {
    "serviceAccountName": "trainer",
    "environment": [{"name": "LD_LIBRARY_PATH", "value": "/opt/rdma/lib"}],
    "scheduling": {"priorityClassName": "system-cluster-critical"},
    "volumes": [{"name": "infiniband", "hostPath": {"path": "/dev/infiniband"}}],
    "volumeMounts": [{"name": "infiniband", "mountPath": "/dev/infiniband"}],
}


def runtime(spec: Object, kind: str = "FineTuneRuntime") -> Object:
    """A runtime with these fields of the spec changed."""
    return {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "hostile"},
        "spec": GOOD | spec,
    }
