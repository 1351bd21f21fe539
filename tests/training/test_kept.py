"""What is computed again in the backward pass is the same as what would have been kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from training.conftest import GangRun
from training.kept_recipe import ENGINES, METHODS, MODES, RESULTS, STEPS
from training.prepared import make_plan, pretrain_spec
from training.programs import recipe

PROGRAM = recipe("training.kept_recipe:run")


@pytest.mark.timeout(600)
def test_activations_that_are_computed_again_change_no_figure(tmp_path: Path, run_gang: Callable[..., GangRun]) -> None:
    spec = pretrain_spec(tmp_path / "unread.tsv", STEPS, parallelism={"nodes": 2})
    gang = run_gang(make_plan(tmp_path, "pretrain", spec), program=PROGRAM)
    assert gang.exit_codes == [0, 0], "\n".join(pod.output for pod in gang.pods)
    results = json.loads((tmp_path / RESULTS).read_text())
    forwards = 2 * STEPS
    for engine in ENGINES:
        for method in METHODS:
            kept, *again = (results[f"{engine} {method} {mode}"] for mode in MODES)
            assert len(set(kept["figures"])) == len(kept["figures"]) == 2 * STEPS + 1
            assert kept["calls"] == forwards
            for result in again:
                assert result["figures"] == pytest.approx(kept["figures"], rel=1e-6), (engine, method)
                assert result["calls"] == 2 * forwards
