"""How a stage ends: each rank leaves a result, and the pod ends with the one that is the cause."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from finetune_api.exit_codes import ExitCode
from finetune_api.plan import Plan
from finetune_api.stage_result import StageError, StageResult, parse_termination_message
from finetune_api.stages import Stage
from finetune_trainer.errors import Hang, Infrastructure, Preempted, StageFailure
from finetune_trainer.pod.failures import PEER_LOST, peer_lost
from finetune_trainer.workspace.files import write_durably

_NCCL_TIMEOUT = re.compile(r"Watchdog caught collective operation timeout.{0,300}|watchdog got stuck.{0,200}")
_NCCL_PEER_LOST = re.compile(r"ncclRemoteError|remote process exited", re.IGNORECASE)


def failed_result(
    stage: Stage,
    attempt: int,
    failure: StageFailure,
    started_at: datetime,
    rank: int | None = None,
    productive_seconds: float = 0.0,
) -> StageResult:
    """The StageResult of a stage that could not go on; `rank` is named in the message if given."""
    where = "" if rank is None else f"rank {rank}: "
    preempted = isinstance(failure, Preempted)
    return StageResult(
        stage=stage,
        attempt=attempt,
        outcome="Preempted" if preempted else "Failed",
        exit_code=int(failure.exit_code),
        message=failure.message[:512] if preempted else "",
        error=None
        if preempted
        else StageError(
            reason=failure.reason[:64], message=(where + failure.message)[:1500], remedy=failure.remedy[:800]
        ),
        checkpoint_step=failure.checkpoint_step if isinstance(failure, Preempted) else None,
        productive_seconds=productive_seconds,
        started_at=started_at,
        completed_at=datetime.now(UTC),
    )


def is_follower(result: StageResult) -> bool:
    """Whether this rank only ended because another one did."""
    return result.error is not None and result.error.reason == PEER_LOST


def choose(
    results: Mapping[int, StageResult],
    exit_codes: Mapping[int, int | None],
    plan: Plan,
    said: Mapping[int, str] | None = None,
) -> StageResult:
    """The result that speaks for a pod.

    A failure that is nobody else's consequence comes first, the earliest of several; then a rank that a signal ended
    without a word (SIGTERM is how the agent ends the others, so it is no cause); then those that lost their peer; then
    the result of the lowest rank.

    Args:
        results: what the ranks of this pod left, by rank.
        exit_codes: of the ranks of this pod, negative for signals; None if unknown.
        plan: for the result of a rank that left none.
        said: the end of what the failed ranks wrote to stderr. NCCL ends a process whose collective takes too long by
            SIGABRT, and says why only there.
    """
    causes = [r for r in results.values() if r.exit_code != ExitCode.DONE and not is_follower(r)]
    if causes:
        return min(causes, key=lambda r: r.completed_at)
    silent = {
        rank: code
        for rank, code in exit_codes.items()
        if rank not in results and code not in (0, None, -signal.SIGTERM, int(ExitCode.TERMINATED))
    }
    ended = [
        failed_result(plan.stage, plan.attempt, _ended_by(code, (said or {}).get(rank, "")), datetime.now(UTC), rank)
        for rank, code in sorted(silent.items())
    ]
    for result in ended:
        if not is_follower(result):
            return result
    followers = [r for r in (*results.values(), *ended) if is_follower(r)]
    if followers:
        return min(followers, key=lambda r: r.completed_at)
    if not results or exit_codes.keys() - results.keys():
        return failed_result(plan.stage, plan.attempt, terminated(), datetime.now(UTC))
    return results[min(results)]


def _ended_by(code: int | None, said: str) -> StageFailure:
    if code == -signal.SIGKILL:
        return Infrastructure(
            "Killed",
            "killed (SIGKILL): by the kernel for want of memory, or by someone",
            "If it happens again at the same place, give the pod more memory or use a smaller micro-batch.",
        )
    if code == -signal.SIGABRT and (found := _NCCL_TIMEOUT.search(said)):
        return Hang(
            "PeerSilent",
            f"a peer rank did not answer in time: {found[0]}",
            "Look at the logs of the other ranks: one of them is late, or its network is gone.",
        )
    if code == -signal.SIGABRT and _NCCL_PEER_LOST.search(said):
        return peer_lost()
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return StageFailure("Crashed", f"ended by {name} in native code", "Please report it with the pod's log.")
    return StageFailure("Crashed", f"ended with exit code {code} and left no result", "Look at the pod's log.")


class Terminated(StageFailure):
    """Ended by SIGTERM with no checkpoint to save (exit 143)."""

    exit_code = ExitCode.TERMINATED


def terminated() -> Terminated:
    """Asked to stop before there was anything to save."""
    return Terminated("Terminated", "stopped before the stage began", "Run the same command again.")


def result_file(folder: Path, rank: int) -> Path:
    """Where a rank leaves its result for its pod."""
    return folder / f"rank{rank}.json"


def read_results(folder: Path) -> dict[int, StageResult]:
    """What the ranks left."""
    found = {}
    for path in folder.glob("rank*.json"):
        result = parse_termination_message(path.read_text(encoding="utf-8"))
        if result is not None:
            found[int(path.stem.removeprefix("rank"))] = result
    return found


def write_termination_message(path: Path, result: StageResult) -> None:
    """Write how it ended. In a pod the file is a mount, which cannot be renamed over, so it is written in place."""
    with path.open("w", encoding="utf-8") as file:
        file.write(result.to_termination_message())


def report_file(workspace: Path, folder: str | None, stage: Stage) -> Path:
    """Where a job with this folder keeps the whole StageResult."""
    return workspace / (folder or "") / "reports" / f"{stage}.result.json"


def write_report(workspace: Path, plan: Plan, result: StageResult) -> None:
    """Keep the whole StageResult.

    Raises:
        OSError: disk full, no permission.
    """
    path = report_file(workspace, plan.folder, plan.stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, result.model_dump_json(by_alias=True, exclude_none=True, indent=1) + "\n")
