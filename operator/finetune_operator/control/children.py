"""Children of a FineTuneJob: their kinds, their names, their owner."""

from __future__ import annotations

from collections.abc import Iterable

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_operator.cluster.interface import Kind

CHILD_KINDS: tuple[Kind, ...] = ("Job", "ConfigMap", "Service", "PersistentVolumeClaim", "NetworkPolicy")


def name_of(value: Object) -> tuple[str, str]:
    """(kind, name): what a child is called in its namespace."""
    return value["kind"], value["metadata"]["name"]


def is_owned(child: Object, job: FineTuneJob) -> bool:
    """Whether the job is an owner, by uid: not a deleted namesake of it."""
    owners = child["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == job.metadata.uid for owner in owners)


def has_owner(value: Object) -> bool:
    """Whether any FineTuneJob is an owner."""
    return any(owner.get("kind") == "FineTuneJob" for owner in value["metadata"].get("ownerReferences") or ())


def running(pods: Iterable[Object]) -> list[Object]:
    """Those pods whose processes run now."""
    return [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
