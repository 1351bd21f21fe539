"""The full report becomes a ConfigMap before the pods of evaluate go."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.status import ProgressStatus
from finetune_operator.control.controller import Controller
from unit.reconcile.lives import run_through
from unit.reconcile.world import World, job_object

TASKS = [{"name": "en-es", "source": "bench", "direction": "en-es"}]


class Offer:
    """Rank 0 with a report."""

    def __init__(self) -> None:
        self.text = '{"attempt": 1}'
        self.confirmed = 0

    async def read(self, pods: Sequence[Object]) -> str | None:
        return self.text if pods else None

    async def confirm(self, pods: Sequence[Object]) -> None:
        self.confirmed += len(pods) > 0


def at_evaluate(publish: str) -> tuple[World, Offer]:
    """evaluate has decoded everything and offers its report."""
    world, offer = World(job_object(evaluate={"tasks": TASKS, "publish": publish})), Offer()
    world.controller = Controller(world.cluster, world, lambda: world.now, world.settings, reports=offer)
    run_through(world, "prepare", "pretrain")
    say(world, "Publishing")
    return world, offer


def say(world: World, phase: str) -> None:
    attempt = world.stage("evaluate").attempt
    world.progress = Progress.model_validate(
        {"stage": "evaluate", "attempt": attempt, "phase": phase, "progress": ProgressStatus(), "time": world.now}
    )


def published(world: World) -> list[Object]:
    return [c for c in world.of("ConfigMap") if c["metadata"]["name"].endswith("-report")]


def test_the_report_is_written_once_and_the_pods_are_told() -> None:
    world, offer = at_evaluate("ConfigMap")
    assert world.sync() is not None
    (config_map,) = published(world)
    assert config_map["data"] == {"report.json": offer.text}
    assert config_map["metadata"]["ownerReferences"][0]["uid"] == world.job["metadata"]["uid"]
    assert offer.confirmed == 0
    writes = len(world.cluster.writes)
    world.settle()
    assert offer.confirmed == 1
    assert len(world.cluster.writes) == writes
    world.finish_gang()
    world.settle()
    assert world.condition("Succeeded")[0] == "True"
    assert published(world) == [config_map]


def test_the_report_of_a_later_attempt_replaces_it() -> None:
    world, offer = at_evaluate("ConfigMap")
    world.settle()
    world.finish_gang(137)
    world.progress = None
    for _ in range(2):
        world.settle()
        world.advance(600)
    world.settle()
    assert world.stage("evaluate").attempt == 2
    offer.text = '{"attempt": 2}'
    say(world, "Publishing")
    world.settle()
    assert [c["data"]["report.json"] for c in published(world)] == [offer.text]
    assert published(world)[0]["metadata"]["annotations"][labels.ATTEMPT] == "2"


def test_nothing_is_published_unasked_or_early() -> None:
    world, offer = at_evaluate("None")
    world.settle()
    assert published(world) == []
    world, offer = at_evaluate("ConfigMap")
    say(world, "Decoding")
    world.settle()
    assert published(world) == []
    assert offer.confirmed == 0
