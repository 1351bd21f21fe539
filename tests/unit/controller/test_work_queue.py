from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from finetune_api.objects import JobKey
from finetune_operator.cluster.interface import ClusterError, ConflictError
from finetune_operator.control.work_queue import WorkQueue, job_of
from finetune_operator.control.workers import Workers


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await coroutine

    asyncio.run(bounded())


def test_many_changes_in_a_row_are_one_visit() -> None:
    async def go() -> None:
        queue = WorkQueue()
        for _ in range(5):
            queue.add(("a", "one"))
        assert len(queue) == 1
        assert await queue.next() == ("a", "one")
        assert len(queue) == 0

    run(go())


def test_a_change_during_a_visit_is_one_more_visit_after_it() -> None:
    async def go() -> None:
        queue = WorkQueue()
        queue.add(("a", "one"))
        key = await queue.next()
        queue.add(key)
        queue.add(key)
        assert len(queue) == 0, "nobody else may visit it meanwhile"
        queue.done(key)
        assert await queue.next() == key
        queue.done(key)
        assert len(queue) == 0

    run(go())


def test_namespaces_take_turns() -> None:
    async def go() -> None:
        queue = WorkQueue()
        for index in range(1000):
            queue.add(("busy", str(index)))
        queue.add(("quiet", "one"))
        first = [await queue.next() for _ in range(3)]
        assert ("quiet", "one") in first

    run(go())


def test_a_time_that_was_set_is_kept_until_a_change_comes_first() -> None:
    async def go() -> None:
        queue = WorkQueue()
        queue.add_after(("a", "late"), 60)
        queue.add_after(("a", "soon"), 0.05)
        queue.add_after(("a", "soon"), 60)
        assert await queue.next() == ("a", "soon")
        queue.add(("a", "late"))
        assert await queue.next() == ("a", "late")
        queue.done(("a", "late"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await queue.next()

    run(go())


@pytest.mark.parametrize("error", [ConflictError("changed"), ClusterError("away"), ZeroDivisionError("a bug")])
def test_a_failed_visit_comes_again_and_others_go_on(error: Exception) -> None:
    async def go() -> None:
        queue, visits, finished = WorkQueue(), list[JobKey](), asyncio.Event()

        async def visit(namespace: str, name: str) -> float | None:
            visits.append((namespace, name))
            if name == "broken" and visits.count(("a", "broken")) == 1:
                raise error
            if name == "broken":
                finished.set()
            return None

        results: list[str] = []
        workers = asyncio.create_task(Workers(queue, visit, 1, lambda result, *_: results.append(result)).run())
        queue.add(("a", "broken"))
        queue.add(("a", "whole"))
        await finished.wait()
        await asyncio.sleep(0)
        workers.cancel()
        assert visits == [("a", "broken"), ("a", "whole"), ("a", "broken")]
        assert results[0] == ("conflict" if isinstance(error, ConflictError) else "error")

    run(go())


def test_a_cluster_that_asks_for_time_gets_it() -> None:
    async def go() -> None:
        queue, calls, twice = WorkQueue(), list[float](), asyncio.Event()
        error = ClusterError("too many requests")
        error.retry_after_seconds = 1.0

        async def visit(_: str, __: str) -> float | None:
            calls.append(asyncio.get_running_loop().time())
            if len(calls) == 1:
                raise error
            twice.set()
            return None

        workers = asyncio.create_task(Workers(queue, visit, 1).run())
        queue.add(("a", "one"))
        await twice.wait()
        workers.cancel()
        assert calls[1] - calls[0] >= 0.79

    run(go())


def test_children_belong_to_the_job_of_their_label() -> None:
    pod = {"metadata": {"name": "x-0", "namespace": "a", "labels": {"finetune-operator.io/job": "x"}}}
    assert job_of("Pod", pod) == ("a", "x")
    assert job_of("FineTuneJob", {"metadata": {"name": "x", "namespace": "a"}}) == ("a", "x")
    assert job_of("Pod", {"metadata": {"name": "other", "namespace": "a"}}) is None
