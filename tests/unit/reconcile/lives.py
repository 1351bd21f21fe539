"""What happens in the lives of jobs that several tests are about."""

from __future__ import annotations

from typing import Any

from finetune_api.evaluation_summary import EvaluationSummary, ScoreSummary
from finetune_api.progress import Progress
from finetune_api.status import ProgressStatus
from unit.reconcile.world import World

SCORE = ScoreSummary(task="en-es", shots=0, metric="chrF++", score=23.9, low=23, high=25, baseline=14.1)
SHOT = SCORE.model_copy(update={"shots": 1, "score": 31.5, "baseline": 19.7})


def evaluation(gate: str) -> EvaluationSummary:
    failed = ["chrF++ of en-es better than the baseline"] if gate == "Failed" else []
    return EvaluationSummary.model_validate(
        {"verdict": "It is better.", "scores": [SCORE, SHOT], "gate": gate, "failed_checks": failed}
    )


def run_through(world: World, *stages: str, **last: Any) -> None:
    for name in stages:
        world.settle()
        assert world.status.current_stage == name
        world.finish_gang(**(last if name == stages[-1] else {}))
    world.settle()


def report(world: World, step: int = 1, **progress: Any) -> None:
    """The running gang reports progress."""
    stage = world.stage(world.status.current_stage or "")
    values = {"step": step, "heartbeat": world.now, "loss": 4.0, **progress}
    world.progress = Progress(
        stage=stage.name,
        attempt=stage.attempt,
        phase="Training",
        time=world.now,
        productive_seconds=float(step),
        progress=ProgressStatus.model_validate(values),
    )
