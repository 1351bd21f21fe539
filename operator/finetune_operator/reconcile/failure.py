"""Why a gang failed, and whether it is started again: the contract of the exit codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.exit_codes import ExitCode
from finetune_api.job import FailurePolicy
from finetune_api.objects import Object
from finetune_api.stage_result import StageResult, parse_termination_message
from finetune_api.status import RestartCause, StageStatus
from finetune_operator.reconcile.gang import (
    Gang,
    job_condition,
    parse_time,
    pod_phase,
    size,
    terminated_state,
)
from finetune_operator.reconcile.limits import truncate
from finetune_operator.reconcile.settings import Settings

OUT_OF_MEMORY_KILL = "OOMKilled"
_CAUSES: dict[int, RestartCause] = {
    ExitCode.BAD_CONFIGURATION: "User",
    ExitCode.BAD_DATA: "User",
    ExitCode.BUG: "Bug",
    ExitCode.PREEMPTED: "Preempted",
    ExitCode.NON_FINITE_LOSS: "NonFiniteLoss",
    ExitCode.HANG: "Hang",
    ExitCode.OUT_OF_MEMORY: "OutOfMemory",
}
MACHINE_CAUSES: tuple[RestartCause, ...] = ("Infrastructure", "Hang")
"""Failures that count against the infrastructure budget, and against the node."""
MAX_KEPT_FAILURES = 64
_EXIT_CODE_OF_JOB = re.compile(r"failed with exit code (\d+)")
_NOT_THE_NODE = ("PreemptionByScheduler", "EvictionByEvictionAPI")
"""Disruptions that somebody wanted: the node is as good as before."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of a gang, described by the pod that began it."""

    cause: RestartCause
    message: str
    """What happened and what to do, for a person."""
    exit_code: int | None = None
    pod: str = ""
    node: str = ""
    """Empty if the node is not to blame."""
    result: StageResult | None = None


@dataclass(frozen=True, slots=True)
class Settling:
    """A pod failed; the exit codes of the others are still to come."""

    seconds: float
    """At most."""


def gang_failure(gang: Gang, now: datetime, settings: Settings) -> Failure | Settling | None:
    """The failure of a gang; None as long as none of its pods failed."""
    failed = [p for p in gang.pods if pod_phase(p) == "Failed"]
    job_failed = job_condition(gang.job, "Failed")
    if not failed:
        if job_failed is None:
            return None
        return _of_lost_pods(str(job_failed.get("message") or ""))
    ended = sum(pod_phase(p) in ("Failed", "Succeeded") for p in gang.pods)
    # A disrupted pod explains the end of its peers, and its own object soon goes: it is believed while it is there.
    if job_failed is None and ended < size(gang) and not any(map(_is_disrupted, failed)):
        first = min((t for p in failed if (t := _end(p)) is not None), default=None)
        if first is not None and first <= now < first + timedelta(seconds=settings.settle_seconds):
            return Settling((first + timedelta(seconds=settings.settle_seconds) - now).total_seconds())
    return _describe(min(failed, key=_culprit_order))


def _of_lost_pods(message: str) -> Failure:
    """What the Job records of pods that are gone: its failure policy names the exit code."""
    found = _EXIT_CODE_OF_JOB.search(message)
    code = int(found[1]) if found else None
    return Failure(_CAUSES.get(code or 0, "Infrastructure"), f"the Job failed and its pods are gone: {message}", code)


def _end(pod: Object) -> datetime | None:
    return parse_time(terminated_state(pod).get("finishedAt"))


def _is_disrupted(pod: Object) -> bool:
    status = pod.get("status") or {}
    if status.get("reason") in ("Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"):
        return True
    return _disruption(pod) is not None


def _disruption(pod: Object) -> Object | None:
    """The condition with who ended the pod, and why."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            found: Object = condition
            return found
    return None


def _exit_code(pod: Object) -> int | None:
    code = terminated_state(pod).get("exitCode")
    return None if code is None else int(code)


def _culprit_order(pod: Object) -> tuple[int, str, int, str]:
    """Smallest: the pod that began it.

    A code of the contract is a statement about the cause; a lost node comes next. All other pods may only have
    followed: a rank whose peer vanished crashes (70), the rest is killed. Among them the first to end began it;
    API times have whole seconds, so within one a SIGKILL comes before the crash and a SIGTERM after it.
    """
    code = _exit_code(pod)
    end = str(terminated_state(pod).get("finishedAt") or "9999")
    name = str(pod["metadata"]["name"])
    if code in _CAUSES and code != ExitCode.BUG:
        return 0, end, 0, name
    if _is_disrupted(pod) or code is None:
        return 1, end, 0, name
    order = {int(ExitCode.KILLED): 0, int(ExitCode.TERMINATED): 2}
    return 2, end, order.get(code, 1), name


def _describe(pod: Object) -> Failure:
    code = _exit_code(pod)
    terminated = terminated_state(pod)
    name = str(pod["metadata"]["name"])
    disruption = _disruption(pod)
    is_to_blame = disruption is None or disruption.get("reason") not in _NOT_THE_NODE
    node = _node(pod) if is_to_blame else ""
    text = str(terminated.get("message") or "")
    result = parse_termination_message(text)
    cause = _cause(pod, code, str(terminated.get("reason") or ""))
    return Failure(cause, _message(pod, cause, code, text, result), code, name, node, result)


def _node(pod: Object) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def _cause(pod: Object, code: int | None, reason: str) -> RestartCause:
    if reason == OUT_OF_MEMORY_KILL:
        return "OutOfMemory"
    if code is not None and code in _CAUSES and code != ExitCode.BUG:
        return _CAUSES[code]
    if _is_disrupted(pod) or code is None or code > 128:
        return "Infrastructure"
    return "Bug"


def _message(pod: Object, cause: RestartCause, code: int | None, text: str, result: StageResult | None) -> str:
    if result is not None and result.error is not None:
        remedy = f" {result.error.remedy}" if result.error.remedy else ""
        return f"{result.error.message}{remedy}"
    if result is not None and result.message:
        return result.message
    name = pod["metadata"]["name"]
    status = pod.get("status") or {}
    disruption = _disruption(pod)
    if disruption is not None and cause == "Infrastructure":
        place = f" on node {_node(pod)}" if _node(pod) else ""
        return f"pod {name}{place} was disrupted: {disruption.get('message') or disruption.get('reason', 'no reason')}"
    if code is None:
        return f"pod {name} was lost: {status.get('message') or status.get('reason') or 'its node gave no reason'}"
    if terminated_state(pod).get("reason") == OUT_OF_MEMORY_KILL:
        less = "raise resources.limits.memory of its runtime, or use a smaller microBatch or sequenceLength"
        return f"pod {name} was killed for taking more memory than its limit: {less}"
    if cause == "OutOfMemory":
        return f"pod {name} ran out of memory: use a smaller microBatch or sequenceLength, or more memory"
    # The log of a killed process ends anywhere; that of a crashed one with the reason.
    is_telling = result is None and code not in (ExitCode.KILLED, ExitCode.TERMINATED)
    tail = text.strip().splitlines()[-1:] if is_telling else []
    return f"pod {name} ended with exit code {code}" + (f": {truncate(tail[0], 300)}" if tail else "")


def recent_failures(stage: StageStatus, policy: FailurePolicy, now: datetime) -> list[datetime]:
    """Failures of the machine within the window; a clock that was set back does not lengthen it."""
    window = timedelta(seconds=policy.infrastructure.window_seconds)
    return [t for t in stage.recent_failure_times if abs(now - t) < window][-MAX_KEPT_FAILURES:]


def budget(cause: RestartCause, policy: FailurePolicy, settings: Settings) -> int | None:
    """Restarts that this cause may have; None: any number."""
    if cause in MACHINE_CAUSES:
        return min(policy.infrastructure.restarts, MAX_KEPT_FAILURES)
    return {
        "User": policy.user.restarts,
        "Bug": settings.bug_restarts,
        "OutOfMemory": settings.out_of_memory_restarts,
        "NonFiniteLoss": settings.non_finite_restarts,
    }.get(cause)


def used(cause: RestartCause, stage: StageStatus, policy: FailurePolicy, now: datetime) -> int:
    """How much of the budget of this cause is used up."""
    if cause in MACHINE_CAUSES:
        return len(recent_failures(stage, policy, now))
    return stage.restarts.get(cause, 0)


def count_failure(stage: StageStatus, cause: RestartCause, policy: FailurePolicy, now: datetime) -> StageStatus:
    """The stage with one more restart, ready for its next attempt."""
    recent = recent_failures(stage, policy, now)
    if cause in MACHINE_CAUSES:
        recent = [*recent, now][-MAX_KEPT_FAILURES:]
    return stage.model_copy(
        update={
            "attempt": stage.attempt + 1,
            "state": "Pending",
            "restarts": stage.restarts | {cause: stage.restarts.get(cause, 0) + 1},
            "recent_failure_times": recent,
        }
    )


def wait_seconds(stage: StageStatus, policy: FailurePolicy, now: datetime, settings: Settings) -> float:
    """How long the next gang must still wait: base x 2^(failures in the window - 1), from the last failure on."""
    recent = recent_failures(stage, policy, now)
    if not recent:
        return 0.0
    delay = min(settings.backoff_base_seconds * 2.0 ** min(len(recent) - 1, 30), settings.backoff_max_seconds)
    # The elapsed time is negative where the clock was set back: never wait longer than the delay itself.
    return min(delay, max(0.0, delay - (now - recent[-1]).total_seconds()))
