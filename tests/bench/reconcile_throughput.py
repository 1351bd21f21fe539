"""Decisions per second of `reconcile`, one process: `python tests/bench/reconcile_throughput.py`.

Steady state is what an operator spends its life on: jobs that run or have ended, where nothing is to be done.
Parsing the job's JSON, which a cache does once per change, is measured apart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.status import ProgressStatus
from finetune_operator.reconcile import Decision, Observed, reconcile
from unit.reconcile.world import World, drive, job_object

SECONDS = 2.0


def observe(world: World) -> Observed:
    """What the controller sees."""
    observed = drive(world.controller._observe(world.cluster, ("default", world.name)))
    assert observed is not None
    return observed


def rate(action: Callable[[], object]) -> float:
    """Calls per second; the best of three runs."""
    best = 0.0
    for _ in range(3):
        count, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < SECONDS / 3:
            for _ in range(100):
                action()
            count += 100
        best = max(best, count / (time.perf_counter() - begin))
    return best


def running() -> World:
    """A job in its second stage, on two pods, with progress in its status."""
    world = World(job_object())
    world.settle()
    world.finish_gang()
    world.settle()
    heartbeat = world.now
    world.progress = Progress(
        stage="pretrain",
        attempt=1,
        phase="Training",
        time=heartbeat,
        productive_seconds=5.0,
        progress=ProgressStatus(step=10, total_steps=100, percent=10, loss=4.2, heartbeat=heartbeat),
    )
    world.settle()
    return world


def measure() -> dict[str, float]:
    """All rates, by name."""
    world = running()
    steady = observe(world)
    now = world.now
    assert steady.progress is not None
    moved = replace(
        steady,
        progress=steady.progress.model_copy(
            update={
                "progress": steady.progress.progress.model_copy(
                    update={"step": 20, "heartbeat": now + timedelta(seconds=20)}
                ),
            }
        ),
    )
    ended_world = running()
    ended_world.finish_gang()
    ended_world.settle()
    ended_world.finish_gang()
    ended_world.settle()
    ended = observe(ended_world)
    new = observe(World(job_object()))
    dead = observe(_with_a_killed_pod())
    nothing = Decision()
    for quiet in (steady, ended):
        decision = reconcile(quiet, now)
        assert (decision.status, decision.apply, decision.delete) == (None, nothing.apply, nothing.delete)
    assert [value["kind"] for value in reconcile(new, now).apply] == ["ConfigMap", "Job"]
    document: Object = world.job
    return {
        "steady: running, nothing changed": rate(lambda: reconcile(steady, now)),
        "steady: ended": rate(lambda: reconcile(ended, now)),
        "running, progress to write": rate(lambda: reconcile(moved, now)),
        "new job: plan, ConfigMap, Job": rate(lambda: reconcile(new, now)),
        "a pod was killed: gang restart": rate(lambda: reconcile(dead, now)),
        "(apart) parse the job's JSON": rate(lambda: FineTuneJob.from_json_object(document)),
    }


def _with_a_killed_pod() -> World:
    world = running()
    pod = next(p for p in world.live_pods() if p["metadata"]["labels"][labels.STAGE] == "pretrain")
    world.end_pod(pod, 137)
    world.reap()
    return world


def main() -> None:
    """Print the table."""
    for name, value in measure().items():
        print(f"{name:36} {value:>10,.0f} /s {1e6 / value:>8.0f} us")


if __name__ == "__main__":
    main()
