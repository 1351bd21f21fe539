"""Which of several ends is the one that a pod reports."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from finetune_api.exit_codes import ExitCode
from finetune_api.stage_result import StageResult, parse_termination_message
from finetune_trainer.errors import BadData, Infrastructure, Preempted, StageFailure
from finetune_trainer.pod.results import choose, failed_result, write_termination_message
from unit.pod.plans import make_plan

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
PLAN = make_plan(Path("w"))


def ended(failure: StageFailure | None, seconds: float = 0.0) -> StageResult:
    at = NOON + timedelta(seconds=seconds)
    if failure is None:
        return StageResult(stage="pretrain", outcome="Succeeded", exit_code=0, started_at=NOON, completed_at=at)
    return failed_result("pretrain", 1, failure, NOON).model_copy(update={"completed_at": at})


FOLLOWER = Infrastructure("PeerLost", "peer rank lost")
CULPRIT = BadData("MalformedRow", "rows.tsv:7")


@pytest.mark.parametrize(
    ("results", "codes", "expected"),
    [
        ({0: ended(None), 1: ended(None)}, {}, 0),
        ({0: ended(FOLLOWER), 1: ended(CULPRIT, 5)}, {0: 137}, 65),
        ({0: ended(StageFailure("Bug", "x"), 2), 1: ended(CULPRIT, 1)}, {0: 70}, 65),
        ({0: ended(FOLLOWER)}, {1: -signal.SIGKILL}, 137),
        ({0: ended(FOLLOWER)}, {1: -signal.SIGSEGV}, 70),
        ({0: ended(CULPRIT)}, {1: -signal.SIGKILL}, 65),
        ({0: ended(FOLLOWER)}, {1: -signal.SIGTERM}, 137),
        ({0: ended(Preempted(7))}, {1: -signal.SIGTERM}, 75),
        ({0: ended(Preempted(7)), 1: ended(FOLLOWER)}, {1: 137}, 75),
        ({}, {0: int(ExitCode.TERMINATED)}, 143),
        ({}, {}, 143),
        ({}, {0: 3}, 70),
    ],
)
def test_the_cause_speaks_for_the_pod(
    results: dict[int, StageResult], codes: dict[int, int | None], expected: int
) -> None:
    assert choose(results, codes, PLAN).exit_code == expected


WATCHDOG = (
    "[rank1]:[E1127 ProcessGroupNCCL.cpp:685] [Rank 1] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum=7, OpType=ALLREDUCE, Timeout(ms)=100000) ran for 100021 milliseconds before timing out.\n"
)
REMOTE = "Process group watchdog thread terminated with exception: NCCL error: ncclRemoteError\n"


@pytest.mark.parametrize(
    ("codes", "said", "reason", "code"),
    [
        ({1: -signal.SIGABRT}, {1: "noise\n" + WATCHDOG}, "PeerSilent", ExitCode.HANG),
        ({1: -signal.SIGABRT}, {1: REMOTE}, "PeerLost", ExitCode.KILLED),
        ({1: -signal.SIGABRT, 2: -signal.SIGKILL}, {1: REMOTE, 2: ""}, "Killed", ExitCode.KILLED),
        ({1: -signal.SIGABRT}, {1: "terminate called after throwing"}, "Crashed", ExitCode.BUG),
        ({1: -signal.SIGSEGV}, {1: WATCHDOG}, "Crashed", ExitCode.BUG),
    ],
)
def test_what_nccl_aborts_for_is_found_in_its_last_words(
    codes: dict[int, int | None], said: dict[int, str], reason: str, code: ExitCode
) -> None:
    result = choose({0: ended(FOLLOWER)}, codes, PLAN, said)
    assert result.error is not None
    assert (result.error.reason, result.exit_code) == (reason, code)


def test_a_killed_rank_is_named() -> None:
    error = choose({0: ended(FOLLOWER)}, {3: -signal.SIGKILL}, PLAN).error
    assert error is not None
    assert error.message.startswith("rank 3: killed (SIGKILL)")


def test_preemption_keeps_the_step(tmp_path: Path) -> None:
    path = tmp_path / "termination"
    path.write_text("something longer than the message, of an earlier container " * 100, encoding="utf-8")
    write_termination_message(path, ended(Preempted(7)))
    result = parse_termination_message(path.read_text(encoding="utf-8"))
    assert result is not None
    assert (result.outcome, result.checkpoint_step, result.error) == ("Preempted", 7, None)


def test_a_long_message_still_fits() -> None:
    failure = BadData("R" * 200, "m" * 5000, "r" * 5000)
    result = failed_result("pretrain", 1, failure, NOON, rank=1)
    assert len(result.to_termination_message().encode()) <= 4096
