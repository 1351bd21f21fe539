"""The program that runs the cluster may be killed; the next one goes on from what is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import lifeline
from finetune_api.objects import Object
from finetune_operator.cluster.interface import ClusterError, Reference, StorageError
from finetune_operator.cluster.local import LocalCluster, WorkspaceInUseError, pod_init
from unit.runner.pods import all_gone, contains, finished, is_alive, job, run, submit, terminated, until

RUN_FOR_EVER = """
import asyncio, json, sys
from pathlib import Path
from finetune_operator.cluster.local import LocalCluster

async def main():
    async with LocalCluster(Path(sys.argv[1])) as cluster:
        for value in json.loads(sys.argv[2]):
            await cluster.apply(value)
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def other_program(workspace: Path, *values: Object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the cluster of a workspace until it is killed."""
    plan = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plan"}, "data": {"plan.json": "{}"},
    }  # fmt: skip
    process = lifeline.start(
        [sys.executable, "-c", RUN_FOR_EVER, str(workspace), json.dumps([plan, *values])],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_run_in_the_same_workspace_is_refused_by_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalCluster(tmp_path):
            raise AssertionError("the workspace is in use")

    with other_program(tmp_path) as other, pytest.raises(WorkspaceInUseError) as caught:
        run(scenario())
    assert str(caught.value) == (
        f"workspace {tmp_path} is in use by process {other.pid}: wait until it ends or stop it with Ctrl-C, "
        "or choose another folder"
    )


def test_a_workspace_is_free_again_after_a_run_and_after_a_refusal(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalCluster(tmp_path):
            with pytest.raises(WorkspaceInUseError, match=f"process {os.getpid()}"):
                await LocalCluster(tmp_path).start()
        async with LocalCluster(tmp_path):
            pass

    run(scenario())


def test_a_damaged_store_is_refused_and_the_lock_released(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster)
        (tmp_path / ".finetune/objects/ConfigMap/default/plan.json").write_text("{")
        for _ in range(2):
            with pytest.raises(StorageError, match=r"plan\.json is damaged"):
                await LocalCluster(tmp_path).start()

    run(scenario())


def test_a_workspace_that_is_a_file_is_refused_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"workspace {tmp_path}/file cannot be written"):
        run(LocalCluster(tmp_path / "file").start())


def test_a_cluster_that_was_not_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="not been started"):
        run(LocalCluster(tmp_path).list("Pod", None))


def test_pods_of_a_killed_run_save_and_the_next_run_knows(tmp_path: Path) -> None:
    script = "echo $$; trap 'printf saved > $RESULT; exit 75' TERM; while :; do sleep 0.02; done"

    async def scenario() -> None:
        log = tmp_path / "logs" / "cut-0.log"
        with other_program(tmp_path, job("cut", script)):
            await contains(log, "\n")
        async with LocalCluster(tmp_path) as cluster:
            assert not is_alive(int(log.read_text()))
            await finished(cluster, "cut")
            (pod,) = await cluster.list("Pod", None)
            assert terminated(pod)["exitCode"] == 75
            assert terminated(pod)["message"] == "saved"

    run(scenario())


def test_pods_that_do_not_end_are_killed_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_init, "ORPHAN_GRACE_SECONDS", -1.0)  # of the next run; the pod itself still has 10 s
    loop = "while :; do sleep 1; done"
    script = f"trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$; {loop}' & {loop}"

    async def scenario() -> None:
        log = tmp_path / "logs" / "stubborn-0.log"
        with other_program(tmp_path, job("stubborn", script)):
            child = int(await contains(log, "\n"))
        assert is_alive(child)
        async with LocalCluster(tmp_path) as cluster:
            assert not is_alive(child)
            await finished(cluster, "stubborn")
            assert terminated((await cluster.list("Pod", None))[0])["exitCode"] == 137

    run(scenario())


def test_a_deletion_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    script = "echo up; trap 'exit 75' TERM; while :; do sleep 0.02; done"

    async def scenario() -> None:
        log = tmp_path / "logs" / "gone-0.log"
        with other_program(tmp_path, job("gone", script)):
            await contains(log, "up")
        (tmp_path / ".finetune/objects/Job/default/gone.json").unlink()
        async with LocalCluster(tmp_path) as cluster:
            await all_gone(cluster)

            async def is_empty() -> bool:
                return not list((tmp_path / ".finetune" / "pods").iterdir())

        async with LocalCluster(tmp_path) as cluster:
            await until(is_empty, "the pods' folders to go")
            assert await cluster.list("Job", None) == []

    run(scenario())


def test_finished_jobs_stay_as_they_are(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("done", "echo once"))
            before = await finished(cluster, "done")
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("done", "echo once"), job("next", "true"))
            await finished(cluster, "next")
            assert await cluster.get(Reference("Job", "default", "done")) == before

    run(scenario())
    assert (tmp_path / "logs" / "done-0.log").read_text() == "once\n"
