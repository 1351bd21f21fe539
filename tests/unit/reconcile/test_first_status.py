"""The first status of a job waits a moment for its pods: one write tells what two would have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from finetune_api.objects import Object
from finetune_operator.cluster.interface import ConflictError
from unit.reconcile.world import SETTINGS, START, World, job_object

GANG = ["create ConfigMap", "create Job"]


def writes(world: World) -> list[str]:
    return [" ".join(write.split()[:2]) for write in world.cluster.writes]


def test_pods_that_run_soon_are_told_of_by_the_first_status() -> None:
    world = World(job_object())
    world.sync()
    assert writes(world) == GANG
    world.advance(1)
    world.settle()
    assert writes(world) == [*GANG, "status"]
    assert (world.status.state, world.status.start_time) == ("Running", START)
    assert (world.stage("prepare").attempt, world.stage("prepare").start_time) == (1, START)
    assert (world.status.nodes, world.status.runtime) == (1, world.of("ConfigMap")[0]["metadata"]["name"])
    assert world.events() == ["StageStarted"]


def test_pods_that_do_not_are_waited_for_in_the_open() -> None:
    world = World(job_object())
    world.advance(60)  # nobody looked until now
    delay = world.sync()
    assert delay == SETTINGS.first_status_seconds
    world.advance(delay)
    world.sync()
    assert writes(world) == [*GANG, "status"]
    assert (world.status.state, world.status.current_stage) == ("Pending", "prepare")
    assert (world.condition("PodsReady"), world.message("PodsReady")) == (("False", "Initialising"), "0 of 1 pods run")
    world.settle()
    assert writes(world) == [*GANG, "status", "status"]
    assert world.status.state == "Running"


def test_what_keeps_pods_from_running_is_told_at_once() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}
    world = World(job_object())
    world.sync()
    world.create_pods()
    for pod in world.of("Pod"):
        pod["status"] = {"phase": "Pending", "conditions": [condition]}
    world.sync()
    assert world.condition("PodsReady") == ("False", "Unschedulable")


@pytest.mark.parametrize("clock", [-3600.0, 3600.0], ids=["behind", "ahead"])
def test_with_another_clock_than_the_api_servers_the_status_does_not_wait(clock: float) -> None:
    world = World(job_object())
    world.sync()
    world.jump(clock)
    world.sync()
    assert writes(world) == [*GANG, "status"]


def visit_while(world: World, happens: Callable[[], None]) -> None:
    """One visit, which is refused, for something happens once the job has been read."""
    listed = world.cluster.list

    async def late(*arguments: Any) -> list[Object]:
        world.cluster.list = listed  # type: ignore[method-assign]
        happens()
        return await listed(*arguments)

    world.cluster.list = late  # type: ignore[assignment,method-assign]
    with pytest.raises(ConflictError):
        world.sync()


def test_a_job_that_changes_meanwhile_gets_no_gang_of_what_it_was() -> None:
    world = World(job_object())
    visit_while(world, lambda: world.edit(suspend=True))
    assert writes(world) == []
    world.settle()
    assert (world.of("Job"), world.status.state) == ([], "Suspended")


def test_a_job_that_is_deleted_meanwhile_gets_no_gang() -> None:
    world = World(job_object())
    visit_while(world, lambda: world.cluster.remove(("FineTuneJob", "default", world.name)))
    assert writes(world) == []


def test_an_operator_that_died_before_the_first_status_leaves_the_times_of_its_gang() -> None:
    world = World(job_object())
    world.sync()
    world.restart()
    world.advance(60)
    world.settle()
    assert (world.status.start_time, world.stage("prepare").start_time) == (START, START)
    assert (world.stage("prepare").attempt, world.status.restarts) == (1, 0)
    assert world.events() == ["StageStarted"]


def test_a_stage_that_ends_before_the_first_status_is_told_of_in_full() -> None:
    world = World(job_object())
    world.sync()
    world.create_pods()
    world.advance(2)
    world.finish_gang()
    world.settle()
    prepare = world.stage("prepare")
    assert (prepare.state, prepare.start_time, world.status.start_time) == ("Succeeded", START, START)
    assert world.events()[:2] == ["StageStarted", "StageCompleted"]
