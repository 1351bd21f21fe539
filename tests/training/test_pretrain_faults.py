"""Whatever happens to a pretrain stage, it ends with the model of the undisturbed run, or says why not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from finetune_api.plan import Plan
from finetune_api.progress import read_history
from finetune_trainer.workspace.artifacts import find_artifact
from training.conftest import GangRun, StartGang
from training.prepared import make_plan, prepare_data, pretrain_spec
from training.programs import recipe

STEPS = 60
HISTORY = "models/pretrain/history.jsonl"
POISONED = recipe("training.poisoned_recipe:run")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepare_data(tmp_path_factory.mktemp("data"))


def plan_of(workspace: Path, prepared: tuple[Path, Path], **changes: Any) -> Plan:
    corpus, data = prepared
    zero = {"nodes": 2, "engine": "DeepSpeed", "zero": {"stage": 2}}
    spec = pretrain_spec(corpus, STEPS, parallelism=zero)
    return make_plan(workspace, "pretrain", spec, inputs={"prepare": str(data)}, **changes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture
def expected(undisturbed: Path, prepared: tuple[Path, Path], run_gang: Callable[..., GangRun]) -> Path:
    """The workspace of a run that nothing happened to, as the operator starts it: the reference is no fork."""
    if not (undisturbed / HISTORY).exists():
        gang = run_gang(plan_of(undisturbed, prepared), fresh=True)
        assert gang.exit_codes == [0, 0], gang.pods[0].output
    return undisturbed


def assert_same_model(workspace: Path, expected: Path) -> None:
    curves = [
        [(row.step, row.loss, row.validation_loss) for row in read_history(folder / HISTORY)]
        for folder in (workspace, expected)
    ]
    assert curves[0] == curves[1]
    ours, theirs = (load_file(folder / "models/pretrain/model.safetensors") for folder in (workspace, expected))
    assert ours.keys() == theirs.keys()
    assert all(bool((ours[name] == theirs[name]).all()) for name in ours)


def checkpoints(workspace: Path) -> list[Path]:
    return sorted((workspace / "checkpoints" / "pretrain").glob("step-*"))


def wait_for_checkpoints(gang: GangRun, workspace: Path, number: int = 1) -> None:
    def enough() -> bool:
        return len([path for path in checkpoints(workspace) if (path / "checkpoint.json").exists()]) >= number

    gang.wait_until(enough, f"{number} checkpoints")


def test_an_undisturbed_run_leaves_a_whole_model_and_says_what_it_did(
    expected: Path, prepared: tuple[Path, Path], run_gang: Callable[..., GangRun]
) -> None:
    plan = plan_of(expected, prepared)
    manifest = find_artifact(expected, "models/pretrain", plan.fingerprint)
    assert manifest is not None
    assert {"config.json", "model.safetensors", "tokenizer.json", "history.jsonl"} <= set(manifest.files)
    summary = manifest.result["summary"]
    assert summary["steps"] == STEPS
    assert summary["validationLoss"] < summary["firstValidationLoss"] - 1.0
    shares = [value for name, value in summary.items() if name.startswith("mixture.")]
    assert len(shares) == 4
    assert sum(shares) == pytest.approx(1.0)
    message = manifest.result["message"]
    assert message.startswith("61.4 k tokens · loss 6.0")
    assert "en→es" in message
    assert not checkpoints(expected)
    again = run_gang(plan)
    assert again.exit_codes == [0, 0]
    assert "is done already" in again.pods[0].output


def test_kill_9_of_a_rank_then_a_restart_gives_the_same_model(
    tmp_path: Path, expected: Path, prepared: tuple[Path, Path], start_gang: StartGang
) -> None:
    plan = plan_of(tmp_path, prepared)
    gang = start_gang(plan)
    wait_for_checkpoints(gang, tmp_path)
    os.kill(gang.pods[1].rank_pids()[0], signal.SIGKILL)
    gang.wait()
    assert gang.exit_codes == [137, 137]
    restarted = start_gang(plan.model_copy(update={"attempt": 2}))
    restarted.wait()
    assert restarted.exit_codes == [0, 0], restarted.pods[0].output
    assert_same_model(tmp_path, expected)


def test_sigterm_saves_and_exits_75_and_the_next_attempt_goes_on(
    tmp_path: Path, expected: Path, prepared: tuple[Path, Path], start_gang: StartGang
) -> None:
    plan = plan_of(tmp_path, prepared)
    gang = start_gang(plan)
    wait_for_checkpoints(gang, tmp_path)
    gang.signal(signal.SIGTERM)
    gang.wait()
    assert gang.exit_codes == [75, 75]
    result = gang.pods[0].result
    assert result is not None
    assert result.outcome == "Preempted"
    assert checkpoints(tmp_path)[-1].name == f"step-{result.checkpoint_step:010d}"
    restarted = start_gang(plan.model_copy(update={"attempt": 2}))
    restarted.wait()
    assert restarted.exit_codes == [0, 0], restarted.pods[0].output
    assert_same_model(tmp_path, expected)


def test_a_truncated_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, expected: Path, prepared: tuple[Path, Path], start_gang: StartGang
) -> None:
    plan = plan_of(tmp_path, prepared)
    gang = start_gang(plan)
    wait_for_checkpoints(gang, tmp_path, 2)
    gang.signal(signal.SIGTERM)
    gang.wait()
    newest = max(checkpoints(tmp_path)[-1].rglob("*.pt"), key=lambda path: path.stat().st_size)
    newest.write_bytes(newest.read_bytes()[:-1000])
    restarted = start_gang(plan.model_copy(update={"attempt": 2}))
    restarted.wait()
    assert restarted.exit_codes == [0, 0], restarted.pods[0].output
    assert f"{newest.name} is damaged" in restarted.pods[0].output
    assert_same_model(tmp_path, expected)


def test_a_loss_that_is_not_a_number_exits_76_and_the_next_attempt_skips_the_data(
    tmp_path: Path, prepared: tuple[Path, Path], run_gang: Callable[..., GangRun]
) -> None:
    plan = plan_of(tmp_path, prepared)
    gang = run_gang(plan, program=POISONED)
    assert gang.exit_codes == [76, 76]
    result = gang.pods[0].result
    assert result is not None
    assert result.error is not None
    assert "since step 6 (5 steps" in result.error.message
    assert "Traceback" not in gang.pods[0].output
    assert [path.name for path in checkpoints(tmp_path)] == ["step-0000000004"]
    recovered = run_gang(plan.model_copy(update={"attempt": 2, "skip_steps": 8}), program=POISONED)
    assert recovered.exit_codes == [0, 0], recovered.pods[0].output
    rows = read_history(tmp_path / HISTORY)
    assert rows[-1].step == STEPS
    assert all(row.loss is None or row.loss == row.loss for row in rows)
