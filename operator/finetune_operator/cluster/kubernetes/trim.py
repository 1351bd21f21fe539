"""What is kept of an object: what the reconciler reads, which is a small part of a large cluster's memory."""

from __future__ import annotations

import sys
from typing import Any

from finetune_api import labels
from finetune_api.objects import Object

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "ownerReferences",
)
_POD_STATUS = ("phase", "reason", "message", "podIP")
_POD_CONDITIONS = ("PodScheduled", "DisruptionTarget")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def trimmed(value: Object) -> Object:
    """Without what the reconciler never reads. A Job's template goes: it is read from the API server when needed."""
    kind = value["kind"]
    kept = value | {"metadata": _metadata(value["metadata"])}
    if kind == "Pod":
        kept["spec"] = {"nodeName": (value.get("spec") or {}).get("nodeName")}
        kept["status"] = _pod_status(value.get("status") or {})
    elif kind == "Job":
        spec = value.get("spec") or {}
        kept["spec"] = {key: part for key, part in spec.items() if key not in ("template", "selector")}
        kept["status"] = {"conditions": (value.get("status") or {}).get("conditions") or []}
    elif kind == "ConfigMap":
        kept["data"] = {key: text for key, text in (value.get("data") or {}).items() if key == labels.RUNTIME_KEY}
    return kept | {key: _shared(kept[key]) for key in ("spec", "data") if key in kept}


def _shared(part: Any) -> Any:
    """The same words are in the specs of all jobs; a parser makes them anew for each."""
    if isinstance(part, dict):
        return {sys.intern(key): _shared(item) for key, item in part.items()}
    if isinstance(part, list):
        return [_shared(item) for item in part]
    return sys.intern(part) if type(part) is str else part


def is_silent(kept: Object) -> bool:
    """Whether an object that was not known is no news: a pod that has yet to become something."""
    status = kept.get("status") or {}
    is_pending = status.keys() <= {"phase"} and status.get("phase", "Pending") == "Pending"
    return kept["kind"] == "Pod" and is_pending and "deletionTimestamp" not in kept["metadata"]


def news_of(kept: Object) -> tuple[Any, ...]:
    """What of a kept object can change a decision: not its version, nor where a pod runs, which matters if it fails."""
    metadata = kept["metadata"]
    about = tuple(metadata.get(key) for key in ("uid", "deletionTimestamp", "labels", "annotations", "ownerReferences"))
    return about, None if kept["kind"] == "Pod" else kept.get("spec"), kept.get("status"), kept.get("data")


def _metadata(metadata: Object) -> Object:
    kept = {key: metadata[key] for key in _METADATA if key in metadata}
    for key in ("labels", "annotations"):
        if part := metadata.get(key):
            kept[key] = _shared({k: v for k, v in part.items() if k != _LAST_APPLIED})
    return kept


def _pod_status(status: Object) -> Object:
    kept = {key: status[key] for key in _POD_STATUS if key in status}
    conditions = [c for c in status.get("conditions") or () if c["type"] in _POD_CONDITIONS and _is_telling(c)]
    if conditions:
        kept["conditions"] = conditions
    containers = [c for c in status.get("containerStatuses") or () if c["name"] == labels.CONTAINER or "state" in c]
    if containers:
        kept["containerStatuses"] = [{"name": c["name"], "state": c.get("state") or {}} for c in containers]
    return kept


def _is_telling(condition: Object) -> bool:
    """That a pod has its node is what one expects."""
    return bool(condition["type"] != "PodScheduled" or condition["status"] != "True")
