"""A gang that hangs is found; one whose clocks are wrong, or that nobody looked at for a while, does not hang."""

from __future__ import annotations

import pytest

from unit.reconcile.lives import report, run_through
from unit.reconcile.world import World, job_object


def test_a_gang_that_makes_no_progress_is_replaced() -> None:
    world = World(job_object(failurePolicy={"hangSeconds": 60}))
    run_through(world, "prepare")
    report(world)
    world.settle()
    world.watch_for(62)
    assert world.condition("Progressing") == ("False", "Stalled")
    assert world.stage("pretrain").attempt == 1
    world.watch_for(31)
    assert world.stage("pretrain").restarts == {"Hang": 1}
    world.reap()
    world.advance(30)
    world.settle()
    assert {g[:2] for g in world.live_gangs()} == {("pretrain", "2")}
    assert world.events().count("Stalled") == 1


def test_a_gang_that_falls_silent_while_the_operator_is_away_is_found_later() -> None:
    world = World(job_object(failurePolicy={"hangSeconds": 60}))
    run_through(world, "prepare")
    report(world)
    world.settle()
    world.restart()
    world.progress = None
    world.watch_for(50)
    assert world.condition("Progressing") == ("True", "Heartbeat")
    world.watch_for(50)
    assert world.stage("pretrain").restarts == {"Hang": 1}


@pytest.mark.parametrize("away", ["advance", "jump"])
@pytest.mark.parametrize("seconds", [8 * 3600, -8 * 3600])
def test_a_machine_that_slept_or_whose_clock_was_set_is_no_hang(away: str, seconds: int) -> None:
    world = World(job_object())
    run_through(world, "prepare")
    report(world)
    world.settle()
    (world.advance if away == "advance" else world.jump)(abs(seconds) if away == "advance" else seconds)
    world.settle()
    assert world.condition("Progressing") == ("True", "Heartbeat")
    world.watch_for(500)  # the length of one slow step
    report(world, 2)
    world.watch_for(500)
    assert world.condition("Progressing") == ("True", "Heartbeat")
    assert world.stage("pretrain").attempt == 1
    assert world.events().count("Stalled") == 0


def test_a_hang_is_found_whatever_the_clock_says() -> None:
    world = World(job_object(failurePolicy={"hangSeconds": 60}))
    run_through(world, "prepare")
    report(world)
    world.settle()
    world.jump(-3600)
    world.watch_for(100)
    assert world.stage("pretrain").restarts == {"Hang": 1}


def test_nothing_ends_before_it_began() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    world.jump(-3600)
    run_through(world, "pretrain", "evaluate")
    status = world.status
    assert status.state == "Succeeded"
    assert status.start_time is not None
    assert status.completion_time is not None
    assert status.completion_time >= status.start_time
    for stage in status.stages:
        assert stage.start_time is not None
        assert stage.completion_time is not None
        assert stage.completion_time >= stage.start_time


def test_a_gang_that_never_spoke_is_not_called_hung() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    world.advance(100_000)
    world.settle()
    assert world.condition("Progressing") == ("Unknown", "Starting")
    assert world.stage("pretrain").attempt == 1
