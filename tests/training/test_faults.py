"""What goes wrong in one rank of two: how both pods end, and what they say."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api.stage_result import StageResult
from training.conftest import GangRun, PodRun, StartGang
from training.fake_gangs import SPEC, assert_no_traceback, fake, make_plan
from training.programs import FAKE

RunGang = Callable[..., GangRun]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


def result_of(pod: PodRun) -> StageResult:
    result = pod.result
    assert result is not None, pod.output
    return result


@pytest.mark.parametrize("culprit", [0, 1])
def test_bad_data_on_one_rank_ends_both_pods_with_its_message(culprit: int, workspace: Path, run_gang: RunGang) -> None:
    gang = run_gang(make_plan(workspace), fake({str(culprit): "bad-data"}), FAKE)
    assert gang.exit_codes == [65, 65]
    for pod in gang.pods:
        error = result_of(pod).error
        assert error is not None
        assert error.message == f"rank {culprit}: rows.tsv:7: 3 columns, not 2"
        assert error.remedy == "Correct the row."
    assert "peer rank lost" in gang.pods[1 - culprit].output
    assert_no_traceback(gang)


def test_a_bug_is_summarised_and_its_traceback_kept_in_the_workspace(workspace: Path, run_gang: RunGang) -> None:
    gang = run_gang(make_plan(workspace), fake({"1": "bug"}), FAKE)
    assert gang.exit_codes == [70, 70]
    error = result_of(gang.pods[1]).error
    assert error is not None
    assert "ZeroDivisionError: division by nought" in error.message
    assert "finetune_trainer/pod/rank.py:" in error.message
    assert_no_traceback(gang)
    kept = (workspace / "logs/pretrain-1-rank1.traceback").read_text(encoding="utf-8")
    assert "in misbehave" in kept


def test_a_rank_that_is_killed_is_infrastructure_on_both_pods(workspace: Path, start_gang: StartGang) -> None:
    gang = start_gang(make_plan(workspace), fake({"*": "linger"}), FAKE)
    gang.wait_until(lambda: "step 1/" in gang.pods[0].output, "first step")
    (pid,) = gang.pods[1].rank_pids()
    start = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    gang.wait(30)
    assert time.monotonic() - start < 15
    assert gang.exit_codes == [137, 137]
    reasons = [error.reason for pod in gang.pods if (error := result_of(pod).error)]
    assert reasons == ["PeerLost", "Killed"]
    assert_no_traceback(gang)


def test_after_a_kill_the_next_attempt_goes_on_from_the_last_checkpoint(workspace: Path, run_gang: RunGang) -> None:
    spec = SPEC | {"checkpoint": {"everySteps": 4, "async": False}}
    assert run_gang(make_plan(workspace, spec=spec), fake({"0": "kill"}), FAKE).exit_codes == [137, 137]
    gang = run_gang(make_plan(workspace, spec=spec, attempt=2), program=FAKE)
    assert gang.exit_codes == [0, 0]
    assert result_of(gang.pods[0]).summary == {"total": 40.0, "first": 5.0}


@pytest.mark.parametrize("in_background", [True, False])
def test_a_checkpoint_that_does_not_become_durable_ends_all_ranks_with_the_reason(
    in_background: bool, workspace: Path, run_gang: RunGang
) -> None:
    spec = SPEC | {"checkpoint": {"everySteps": 4, "async": in_background}}
    start = time.monotonic()
    gang = run_gang(make_plan(workspace, spec=spec), fake({"0": "publish"}), FAKE)
    assert time.monotonic() - start < 60
    assert gang.exit_codes == [64, 64]
    assert [error.reason for pod in gang.pods if (error := result_of(pod).error)] == ["DiskFull", "DiskFull"]
    assert not any("peer rank lost" in pod.output for pod in gang.pods)


def test_a_rank_that_cannot_write_its_files_ends_all_ranks_with_the_reason(workspace: Path, run_gang: RunGang) -> None:
    gang = run_gang(make_plan(workspace), fake({"1": "write"}), FAKE)
    assert gang.exit_codes == [64, 64]
    assert [error.reason for pod in gang.pods if (error := result_of(pod).error)] == ["DiskFull", "DiskFull"]
    assert not list((workspace / "checkpoints/pretrain").iterdir())


def test_after_a_kill_in_the_middle_of_writing_the_next_attempt_goes_on_from_the_checkpoint_before(
    workspace: Path, run_gang: RunGang
) -> None:
    gang = run_gang(make_plan(workspace), fake({"*": "kill-write"}), FAKE)
    assert gang.exit_codes == [137, 137]
    root = workspace / "checkpoints/pretrain"
    assert [path.name for path in sorted(root.iterdir())] == [
        ".writing-step-0000000012", "step-0000000004", "step-0000000008",
    ]  # fmt: skip
    gang = run_gang(make_plan(workspace, attempt=2), program=FAKE)
    assert gang.exit_codes == [0, 0]
    assert result_of(gang.pods[0]).summary == {"total": 40.0, "first": 9.0}


def test_a_rank_that_is_silent_in_a_step_is_a_hang_and_one_that_is_late_with_its_files_is_none(
    workspace: Path, run_gang: RunGang
) -> None:
    gang = run_gang(make_plan(workspace), fake({"0": "late", "1": "silent"}) | {"STEADY": "1"}, FAKE)
    assert gang.exit_codes[0] == 77
    error = result_of(gang.pods[0]).error
    assert error is not None
    assert error.reason == "PeerSilent"
    assert "Timed out waiting 1000ms" in error.message
    assert "Training" in gang.pods[0].output, "it waited for the late one"


def test_nccls_watchdog_is_a_hang_though_it_aborts_the_process(workspace: Path, run_gang: RunGang) -> None:
    gang = run_gang(make_plan(workspace, nodes=1, processesPerNode=2), fake({"1": "watchdog"}), FAKE)
    assert gang.exit_codes == [77]
    error = result_of(gang.pods[0]).error
    assert error is not None
    expected = "a peer rank did not answer in time: Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)"
    assert error.message == f"rank 1: {expected}"
    assert "rank 1 [rank1]:[E] Watchdog caught" in gang.pods[0].output


def test_a_pod_that_vanishes_takes_its_rank_with_it(workspace: Path, start_gang: StartGang) -> None:
    gang = start_gang(make_plan(workspace), fake({"*": "linger"}), FAKE)
    gang.wait_until(lambda: "step 1/" in gang.pods[0].output, "first step")
    (orphan,) = gang.pods[0].rank_pids()
    gang.pods[0].process.kill()
    gang.wait(30)
    assert gang.exit_codes == [137, 137]
    deadline = time.monotonic() + 30
    while Path(f"/proc/{orphan}").exists() and "State:\tZ" not in Path(f"/proc/{orphan}/status").read_text():
        assert time.monotonic() < deadline, "the rank outlived its pod"


@pytest.mark.parametrize(
    ("behaviour", "code", "reason"),
    [("memory", 78, "OutOfMemory"), ("disk", 64, "DiskFull"), ("segfault", 70, "Crashed")],
)
def test_exit_codes_of_the_contract(behaviour: str, code: int, reason: str, workspace: Path, run_gang: RunGang) -> None:
    gang = run_gang(make_plan(workspace, nodes=1, processesPerNode=2), fake({"1": behaviour}), FAKE)
    assert gang.exit_codes == [code], gang.pods[0].output
    error = result_of(gang.pods[0]).error
    assert error is not None
    assert error.reason == reason
    assert "Traceback" not in gang.pods[0].output
