"""Pods of a gang, started as the operator starts them: two launchers, two ranks, real rendezvous and signals.

One test of each way of starting has `fresh` pods; see start_gang.
"""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api.progress import Progress
from training.conftest import GangRun, StartGang
from training.fake_gangs import assert_no_traceback, fake, make_plan
from training.programs import FAKE

RunGang = Callable[..., GangRun]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


def test_two_pods_finish_and_a_second_run_is_a_no_op(workspace: Path, run_gang: RunGang) -> None:
    plan = make_plan(workspace)
    gang = run_gang(plan, program=FAKE, fresh=True)
    assert gang.exit_codes == [0, 0], gang.pods[0].output
    result = gang.pods[0].result
    assert result is not None
    assert result.summary["total"] == 40.0
    assert result.digest
    assert_no_traceback(gang)
    assert json.loads((workspace / "reports/pretrain.result.json").read_text())["artifact"] == "models/pretrain"
    before = (workspace / "models/pretrain/manifest.json").stat().st_mtime_ns

    again = run_gang(plan.model_copy(update={"attempt": 2}), program=FAKE)
    assert again.exit_codes == [0, 0]
    assert all("done already" in pod.output for pod in again.pods)
    assert again.pods[0].result is not None
    assert again.pods[0].result.summary == result.summary
    assert (workspace / "models/pretrain/manifest.json").stat().st_mtime_ns == before


def test_a_changed_plan_runs_again(workspace: Path, run_gang: RunGang) -> None:
    run_gang(make_plan(workspace, nodes=1), program=FAKE)
    gang = run_gang(make_plan(workspace, nodes=1, fingerprint="e" * 64), program=FAKE)
    assert gang.exit_codes == [0]
    assert "done already" not in gang.pods[0].output


def test_progress_and_metrics_are_served_while_it_runs(workspace: Path, start_gang: StartGang) -> None:
    gang = start_gang(make_plan(workspace), fake({"*": "linger"}), FAKE)
    main, other = gang.pods
    gang.wait_until(lambda: "step 1/" in main.output, "first step")
    with urllib.request.urlopen(f"http://{main.address}:{main.progress_port}/progress", timeout=5) as response:
        progress = Progress.model_validate_json(response.read())
    assert progress.phase == "Training"
    assert progress.progress.total_steps == 20
    with urllib.request.urlopen(f"http://{other.address}:{other.progress_port}/metrics", timeout=5) as response:
        assert 'finetune_step{attempt="1",finetunejob="tiny",stage="pretrain"}' in response.read().decode()
    gang.wait()
    assert gang.exit_codes == [0, 0]


def test_sigterm_saves_and_exits_75_and_the_next_attempt_goes_on(
    workspace: Path, start_gang: StartGang, run_gang: RunGang
) -> None:
    gang = start_gang(make_plan(workspace), fake({"*": "linger"}), FAKE)
    gang.wait_until(lambda: "step 1/" in gang.pods[0].output, "first step")
    gang.signal()
    gang.wait()
    assert gang.exit_codes == [75, 75], gang.pods[0].output
    for pod in gang.pods:
        assert pod.result is not None
        assert pod.result.outcome == "Preempted"
    saved = gang.pods[0].result.checkpoint_step if gang.pods[0].result else None
    assert saved is not None
    assert_no_traceback(gang)

    resumed = run_gang(make_plan(workspace, attempt=2), program=FAKE)
    assert resumed.exit_codes == [0, 0]
    assert resumed.pods[0].result is not None
    assert resumed.pods[0].result.summary == {"total": 40.0, "first": saved + 1.0}


def test_sigterm_before_the_gang_has_met_ends_at_once_with_143(workspace: Path, start_gang: StartGang) -> None:
    with socket.create_server(("127.0.0.2", 0)) as silent:
        # The first pod takes the call but never answers: the second one waits in native code.
        port = str(silent.getsockname()[1])
        gang = start_gang(make_plan(workspace), {"FINETUNE_RENDEZVOUS_PORT": port}, FAKE, only=[1], fresh=True)
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            gang.signal()
            gang.wait(10)
    assert gang.exit_codes == [143]
    result = gang.pods[0].result
    assert result is not None
    assert result.error is not None
    assert result.error.reason == "Terminated"


def test_two_ranks_in_one_pod(workspace: Path, run_gang: RunGang) -> None:
    gang = run_gang(make_plan(workspace, nodes=1, processesPerNode=2), program=FAKE, fresh=True)
    assert gang.exit_codes == [0]
    assert gang.pods[0].result is not None
    assert gang.pods[0].result.summary["total"] == 40.0
    forked = (workspace / "models/pretrain/forked.txt").read_text(encoding="utf-8")
    assert forked == "True", "the pod imported the recipe, not each rank"


def test_a_single_rank_needs_no_second_process(workspace: Path, start_gang: StartGang) -> None:
    gang = start_gang(make_plan(workspace, nodes=1), fake({"*": "linger"}), FAKE, fresh=True)
    gang.wait_until(lambda: "step 1/" in gang.pods[0].output, "first step")
    assert gang.pods[0].rank_pids() == []
    gang.signal(signal.SIGINT)
    gang.wait()
    assert gang.exit_codes == [75]


def test_a_taken_progress_port_is_one_plain_message(workspace: Path, start_gang: StartGang) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        gang = start_gang(make_plan(workspace, nodes=1), {"FINETUNE_PROGRESS_PORT": port}, FAKE)
        gang.wait()
    assert gang.exit_codes == [64]
    assert f"127.0.0.2:{port}" in gang.pods[0].output
    assert gang.pods[0].result is not None
    assert gang.pods[0].result.error is not None
    assert gang.pods[0].result.error.reason == "PortTaken"
    assert_no_traceback(gang)


def test_a_taken_rendezvous_port_is_one_plain_message(workspace: Path, start_gang: StartGang) -> None:
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        gang = start_gang(make_plan(workspace, nodes=1, processesPerNode=2), {"FINETUNE_RENDEZVOUS_PORT": port}, FAKE)
        gang.wait()
    assert gang.exit_codes == [64], gang.pods[0].output
    assert f"FINETUNE_RENDEZVOUS_PORT={port}" in gang.pods[0].output
    assert_no_traceback(gang)


def test_a_workspace_without_write_permission(workspace: Path, run_gang: RunGang) -> None:
    workspace.parent.mkdir(exist_ok=True)
    workspace.write_text("a file where the folder should be")
    gang = run_gang(make_plan(workspace, nodes=1), program=FAKE)
    assert gang.exit_codes == [64]
    assert "NotWritable" in gang.pods[0].output
    assert_no_traceback(gang)
