"""Memory that runs out in a step costs a smaller micro-batch, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api.progress import read_history
from training.conftest import GangRun
from training.prepared import make_plan, prepare_data, pretrain_spec
from training.programs import recipe

STEPS = 8
EXHAUSTED = recipe("training.exhausted_recipe:run")
UNDISTURBED = recipe("finetune_trainer.stages.pretrain:run")


@pytest.mark.timeout(400)
def test_memory_that_runs_out_on_one_rank_halves_the_micro_batch_of_all(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, run_gang: Callable[..., GangRun]
) -> None:
    corpus, data = prepare_data(tmp_path_factory.mktemp("data"))
    spec = pretrain_spec(corpus, STEPS, parallelism={"nodes": 2})
    histories = []
    for name, program in (("exhausted", EXHAUSTED), ("undisturbed", UNDISTURBED)):
        workspace = tmp_path / name
        workspace.mkdir()
        gang = run_gang(make_plan(workspace, "pretrain", spec, inputs={"prepare": str(data)}), program=program)
        assert gang.exit_codes == [0, 0], "\n".join(pod.output for pod in gang.pods)
        told = [line for line in gang.pods[0].output.splitlines() if "out of memory" in line]
        assert len(told) == (2 if name == "exhausted" else 0), told
        histories.append(read_history(workspace / "models/pretrain/history.jsonl"))
    exhausted, undisturbed = histories
    assert [row.step for row in exhausted] == [row.step for row in undisturbed] == [*range(STEPS + 1), STEPS]
    for disturbed, expected in zip(exhausted, undisturbed, strict=True):
        assert disturbed.tokens == expected.tokens
        for ours, theirs in ((disturbed.loss, expected.loss), (disturbed.gradient_norm, expected.gradient_norm)):
            assert ours == (None if theirs is None else pytest.approx(theirs, rel=1e-6))
        assert {n: arm.tokens for n, arm in disturbed.arms.items()} == {
            n: arm.tokens for n, arm in expected.arms.items()
        }
