"""Memory that runs out in a step costs a smaller micro-batch, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.progress import HistoryRow, read_history
from training.conftest import GangRun
from training.prepared import make_plan, prepare_data, pretrain_spec
from training.programs import Program, recipe

STEPS = 8
EXHAUSTED = recipe("training.exhausted_recipe:run")
UNDISTURBED = recipe("finetune_trainer.stages.pretrain:run")


ENGINES: dict[str, dict[str, Any]] = {
    "DDP": {"engine": "DDP"},
    "ZeRO-1": {"engine": "DeepSpeed", "zero": {"stage": 1}},
    "ZeRO-2": {"engine": "DeepSpeed", "zero": {"stage": 2}},
    "ZeRO-2 offloaded": {"engine": "DeepSpeed", "zero": {"stage": 2, "offload": "CPU"}},
}
Run = Callable[[str, dict[str, Any], Program], tuple[list[HistoryRow], list[str]]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepare_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def expected() -> list[list[HistoryRow]]:
    """History of the undisturbed run."""
    return []


@pytest.fixture
def run(tmp_path: Path, prepared: tuple[Path, Path], run_gang: Callable[..., GangRun]) -> Run:
    corpus, data = prepared

    def run(name: str, parallelism: dict[str, Any], program: Program) -> tuple[list[HistoryRow], list[str]]:
        """History, and what was told of memory."""
        spec = pretrain_spec(corpus, STEPS, parallelism={"nodes": 2} | parallelism)
        workspace = tmp_path / name
        workspace.mkdir()
        gang = run_gang(make_plan(workspace, "pretrain", spec, inputs={"prepare": str(data)}), program=program)
        assert gang.exit_codes == [0, 0], "\n".join(pod.output for pod in gang.pods)
        told = [line for line in gang.pods[0].output.splitlines() if "out of memory" in line]
        return read_history(workspace / "models/pretrain/history.jsonl"), told

    return run


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ENGINES)
def test_memory_that_runs_out_on_one_rank_halves_the_micro_batch_of_all(
    engine: str, run: Run, expected: list[list[HistoryRow]]
) -> None:
    if not expected:
        undisturbed, told = run("undisturbed", ENGINES["DDP"], UNDISTURBED)
        assert told == []
        expected.append(undisturbed)
    exhausted, told = run("exhausted", ENGINES[engine], EXHAUSTED)
    assert len(told) == 2, told
    assert [row.step for row in exhausted] == [row.step for row in expected[0]] == [*range(STEPS + 1), STEPS]
    tolerance = 1e-6 if engine == "DDP" else 1e-4
    for disturbed, theirs in zip(exhausted, expected[0], strict=True):
        assert disturbed.tokens == theirs.tokens
        for ours, wanted in ((disturbed.loss, theirs.loss), (disturbed.gradient_norm, theirs.gradient_norm)):
            assert ours == (None if wanted is None else pytest.approx(wanted, rel=tolerance))
        assert {n: arm.tokens for n, arm in disturbed.arms.items()} == {n: arm.tokens for n, arm in theirs.arms.items()}
