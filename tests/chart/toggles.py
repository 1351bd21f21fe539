"""Values that turn on what the chart can do, one thing at a time and all at once."""

from __future__ import annotations

from finetune_api.objects import Object

DIGEST = "sha256:" + "0" * 64
TOGGLES: dict[str, Object] = {
    "defaults": {},
    "no CRDs": {"crds": {"enabled": False}},
    "no roles": {"rbac": {"create": False, "aggregate": False}},
    "namespaces": {"namespaces": ["team-a", "team-b"]},
    "account of others": {"serviceAccount": {"create": False, "name": "theirs"}},
    "three replicas": {"replicas": 3},
    "no policies": {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "digest": {"image": {"registry": "", "digest": DIGEST}, "imagePullSecrets": [{"name": "registry"}]},
    "image policy": {"imagePolicy": {"enabled": True, "prefixes": ["registry.example.com/ml/"]}},
    "settings": {"config": {"httpPort": 9090, "logLevel": "DEBUG", "writesPerSecond": 50.5, "networkPolicies": False}},
    "metadata": {"commonLabels": {"team": "ml"}, "commonAnnotations": {"contact": "ml@example.com"}},
    "placement": {
        "priorityClassName": "high",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
    },
    "extras": {
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "proxy"}],
        "extraArgs": ["--help"],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "podLabels": {"a": "b"},
        "podAnnotations": {"c": "d"},
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
    },
    "monitors": {
        "monitoring": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s"},
            "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s"},
        }
    },
    "rules": {
        "monitoring": {
            "rules": {
                "enabled": True,
                "labels": {"release": "prometheus"},
                "alertLabels": {"team": "ml", "severity": "page"},
                "runbooks": "https://runbooks.example.com",
                "disabled": ["FineTuneJobGpuIdle"],
                "thresholds": {"stalledSeconds": 60, "goodputRatio": 0.5},
            }
        }
    },
    "dashboards": {
        "monitoring": {
            "dashboards": {
                "enabled": True,
                "labels": {"find": "me"},
                "annotations": {"grafana_folder": "Training"},
                "namespace": "grafana",
            }
        }
    },
    "runtimes": {"runtimes": {"cpu": {"enabled": True}, "cuda": {"enabled": True}}},
}

OLDEST, NEWEST = "1.29", "1.37"
SINCE = {"image policy": "1.30"}
"""Toggles that need a newer Kubernetes than the chart."""


def everything() -> Object:
    """All toggles at once, as far as they go together."""
    merged: Object = {}
    for name, values in TOGGLES.items():
        if name not in ("no CRDs", "no roles", "namespaces", "account of others", "no policies", "image policy"):
            merged = joined(merged, values)
    return merged


def toggled(name: str) -> Object:
    """Values of a toggle, or of all."""
    return everything() if name == "everything" else TOGGLES[name]


def joined(one: Object, other: Object) -> Object:
    """Both, where maps meet as one map."""
    both = {key: joined(one[key], other[key]) for key in one.keys() & other.keys() if isinstance(one[key], dict)}
    return one | other | both
