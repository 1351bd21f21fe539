"""What is seen of one attempt of a stage: its Job and its pods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.stage_result import StageResult, parse_termination_message

GangKey = tuple[str, int]
_ENDED = ("Succeeded", "Failed")
_IMAGE_PROBLEMS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")


@dataclass(frozen=True, slots=True)
class Gang:
    """One attempt of a stage; `job` is None where only pods are left."""

    stage: str
    attempt: int
    job: Object | None
    pods: tuple[Object, ...]


def gang_key(value: Object) -> GangKey | None:
    """(stage, attempt) of a labelled object."""
    own = value["metadata"].get("labels") or {}
    stage, attempt = own.get(labels.STAGE), own.get(labels.ATTEMPT, "")
    return (stage, int(attempt)) if stage and attempt.isdigit() else None


def read_gangs(children: Iterable[Object], pods: Iterable[Object]) -> dict[GangKey, Gang]:
    """All gangs of which anything is left."""
    jobs: dict[GangKey, Object] = {}
    members: dict[GangKey, list[Object]] = {}
    for child in children:
        if child["kind"] == "Job" and (key := gang_key(child)) is not None:
            jobs[key] = child
    for pod in pods:
        if (key := gang_key(pod)) is not None:
            members.setdefault(key, []).append(pod)
    return {
        key: Gang(key[0], key[1], jobs.get(key), tuple(members.get(key, ())))
        for key in (jobs.keys() | members.keys() if members.keys() - jobs.keys() else jobs)
    }


def job_condition(job: Object | None, kind: str) -> Object | None:
    """A Job's condition of this type if it is True."""
    for condition in ((job or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] == kind and condition["status"] == "True":
            found: Object = condition
            return found
    return None


def is_finished(job: Object) -> bool:
    """Whether the Job controller is done with it: no pod of it runs or will run."""
    return job_condition(job, "Complete") is not None or job_condition(job, "Failed") is not None


def pod_phase(pod: Object) -> str:
    """Pending, Running, Succeeded, Failed or Unknown."""
    return str((pod.get("status") or {}).get("phase", "Pending"))


def is_live(pod: Object) -> bool:
    """Whether processes of the pod may exist or come."""
    return pod_phase(pod) not in _ENDED


def pod_index(pod: Object) -> int:
    """Completion index, that is the node rank."""
    metadata = pod["metadata"]
    for place in ("annotations", "labels"):
        value = (metadata.get(place) or {}).get(labels.JOB_COMPLETION_INDEX)
        if value is not None:
            return int(value)
    return 0


def size(gang: Gang) -> int:
    """Pods that the gang should have."""
    return int(gang.job["spec"].get("completions", 1)) if gang.job is not None else len(gang.pods)


def has_succeeded(gang: Gang) -> bool:
    """All ranks ended with 0, and the Job controller has seen it."""
    return job_condition(gang.job, "Complete") is not None


def has_begun(gang: Gang) -> bool:
    """Whether a process of the gang may have run."""
    return any(pod_phase(p) != "Pending" for p in gang.pods) or (gang.job is not None and is_finished(gang.job))


def running_pods(gang: Gang) -> int:
    """Pods that run or have ended well."""
    return sum(pod_phase(p) in ("Running", "Succeeded") for p in gang.pods)


def terminated_state(pod: Object) -> Object:
    """`state.terminated` of the trainer's container, or an empty object."""
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("name") == labels.CONTAINER:
            return (container.get("state") or {}).get("terminated") or {}
    return {}


def stage_result(gang: Gang) -> StageResult | None:
    """The result that rank 0 wrote; else that of any other rank."""
    for pod in sorted(gang.pods, key=pod_index):
        if pod_phase(pod) == "Succeeded":
            result = parse_termination_message(terminated_state(pod).get("message", ""))
            if result is not None and result.outcome == "Succeeded":
                return result
    return None


def parse_time(value: str | None) -> datetime | None:
    """RFC 3339 to an aware datetime."""
    return datetime.fromisoformat(value) if value else None


def waiting_reason(gang: Gang) -> tuple[str, str]:
    """(reason, message) why not all pods run."""
    for pod in gang.pods:
        status = pod.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
                return "Unschedulable", f"pod {pod['metadata']['name']}: {condition.get('message', '')}"
        for container in status.get("containerStatuses") or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _IMAGE_PROBLEMS:
                reason = "ImagePullBackOff" if "Image" in waiting["reason"] else waiting["reason"]
                return reason, f"pod {pod['metadata']['name']}: {waiting.get('message') or waiting['reason']}"
    return "Initialising", f"{running_pods(gang)} of {size(gang)} pods run"
