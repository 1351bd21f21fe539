"""What kube-controller-manager does with an Indexed Job whose backoffLimit is 0: pure, level-based."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from datetime import datetime

from finetune_api.labels import JOB_COMPLETION_INDEX, JOB_NAME
from finetune_api.objects import Object
from finetune_operator.cluster.local.container import COMPLETION_INDEX
from finetune_operator.cluster.local.store import ENDED_PHASES, timestamp

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""As Kubernetes' name suffixes: no vowels, so no words."""


@dataclass(frozen=True, slots=True)
class JobDecision:
    """To be carried out in this order."""

    create: tuple[Object, ...]
    """Pods."""
    status: Object
    """Of the Job."""
    delete: tuple[str, ...]
    """Names of pods that must end."""
    release: tuple[str, ...]
    """Names of deleted pods that have ended; the status has counted them, so they may go."""


def control(job: Object, pods: list[Object], now: datetime) -> JobDecision:
    """What to do about a Job, given its pods."""
    status = copy.deepcopy(job.get("status") or {})
    ended = [p for p in pods if phase_of(p) in ENDED_PHASES]
    live = [p for p in pods if phase_of(p) not in ENDED_PHASES]
    release = tuple(p["metadata"]["name"] for p in ended if "deletionTimestamp" in p["metadata"])
    if is_finished(job):
        return JobDecision((), status, _names_to_delete(live), release)
    spec = job["spec"]
    completions = int(spec.get("completions", 1))
    succeeded = parse_indexes(status.get("completedIndexes", "")) | {
        index_of(p) for p in ended if phase_of(p) == "Succeeded"
    }
    # A pod that was released is no longer seen, but has been counted.
    failed = max(int(status.get("failed", 0)), sum(phase_of(p) == "Failed" for p in ended))
    create: list[Object] = []
    delete: tuple[str, ...] = ()
    conditions = status.setdefault("conditions", [])
    if failed:
        message = f"{failed} of {completions} pods failed; backoffLimit is 0"
        _add(conditions, "FailureTarget", "BackoffLimitExceeded", message, now)
        delete = _names_to_delete(live)
        if not live:
            _add(conditions, "Failed", "BackoffLimitExceeded", message, now)
    elif len(succeeded) >= completions:
        _add(conditions, "SuccessCriteriaMet", "CompletionsReached", "all pods succeeded", now)
        _add(conditions, "Complete", "CompletionsReached", "all pods succeeded", now)
        status["completionTime"] = timestamp(now)
    else:
        free = int(spec.get("parallelism", completions)) - len(live)
        missing = set(range(completions)) - succeeded - {index_of(p) for p in live}
        create = [make_pod(job, index) for index in sorted(missing)[: max(0, free)]]
    status.setdefault("startTime", timestamp(now))
    status |= {
        "active": sum("deletionTimestamp" not in p["metadata"] for p in live) + len(create),
        "terminating": sum("deletionTimestamp" in p["metadata"] for p in live),
        "ready": sum(phase_of(p) == "Running" for p in live),
        "succeeded": len(succeeded),
        "failed": failed,
        "completedIndexes": format_indexes(succeeded),
    }
    return JobDecision(tuple(create), status, delete, release)


def make_pod(job: Object, index: int) -> Object:
    """The pod of one completion index; its name follows from the Job's uid and the index."""
    metadata, template = job["metadata"], job["spec"]["template"]
    own = template.get("metadata") or {}
    digest = hashlib.sha256(f"{metadata['uid']} {index}".encode()).digest()
    suffix = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:5])
    spec = copy.deepcopy(template["spec"])
    spec["hostname"] = f"{metadata['name']}-{index}"
    for container in spec["containers"]:
        container["env"] = [
            *container.get("env", ()),
            {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": COMPLETION_INDEX}}},
        ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{metadata['name']}-{index}-{suffix}",
            "namespace": metadata["namespace"],
            "labels": {
                **own.get("labels", {}),
                JOB_NAME: metadata["name"],
                JOB_COMPLETION_INDEX: str(index),
                CONTROLLER_UID: metadata["uid"],
            },
            "annotations": {**own.get("annotations", {}), JOB_COMPLETION_INDEX: str(index)},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": spec,
    }


def phase_of(pod: Object) -> str:
    """Pending, Running, Succeeded or Failed."""
    return str((pod.get("status") or {}).get("phase", "Pending"))


def index_of(pod: Object) -> int:
    """Completion index."""
    return int(pod["metadata"]["annotations"][JOB_COMPLETION_INDEX])


def is_finished(job: Object) -> bool:
    """Whether a Job is complete or failed, and has no pods any more that run."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def parse_indexes(text: str) -> set[int]:
    """`0-2,5` -> {0, 1, 2, 5}."""
    indexes: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        indexes |= set(range(int(first), int(last or first) + 1))
    return indexes


def format_indexes(indexes: set[int]) -> str:
    """{0, 1, 2, 5} -> `0-2,5`."""
    runs: list[tuple[int, int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _names_to_delete(live: list[Object]) -> tuple[str, ...]:
    return tuple(p["metadata"]["name"] for p in live if "deletionTimestamp" not in p["metadata"])


def _add(conditions: list[Object], kind: str, reason: str, message: str, now: datetime) -> None:
    if not any(c["type"] == kind for c in conditions):
        conditions.append(
            {
                "type": kind,
                "status": "True",
                "reason": reason,
                "message": message,
                "lastProbeTime": timestamp(now),
                "lastTransitionTime": timestamp(now),
            }
        )
