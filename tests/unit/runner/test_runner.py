"""Pods as processes: what goes in, what comes out, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from finetune_api.objects import Object
from finetune_operator.cluster.interface import Reference
from finetune_operator.cluster.local import LocalCluster
from finetune_operator.cluster.local import runner as runner_module
from unit.runner.pods import (
    all_gone,
    condition,
    contains,
    finished,
    in_phase,
    is_alive,
    job,
    plan,
    read,
    run,
    submit,
    terminated,
    until,
)


def log(workspace: Path, pod: str) -> Path:
    return workspace / "logs" / f"{pod}.log"


def test_a_gang_that_succeeds(tmp_path: Path) -> None:
    script = 'echo "rank $JOB_COMPLETION_INDEX"; printf done$JOB_COMPLETION_INDEX > $RESULT'

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("good", script, pods=2))
            end = await finished(cluster, "good")
            assert end["status"]["completedIndexes"] == "0-1"
            assert end["status"]["succeeded"] == 2
            assert end["status"]["active"] == 0
            pods = await cluster.list("Pod", "default", {"batch.kubernetes.io/job-name": "good", "stage": "test"})
            assert [p["status"]["phase"] for p in pods] == ["Succeeded", "Succeeded"]
            assert [terminated(p)["message"] for p in pods] == ["done0", "done1"]
            assert [terminated(p)["exitCode"] for p in pods] == [0, 0]
            assert len({p["status"]["podIP"] for p in pods}) == 2

    run(scenario())
    assert log(tmp_path, "good-1").read_text() == "rank 1\n"


def test_names_paths_and_fields_mean_something_on_this_machine(tmp_path: Path) -> None:
    script = 'cat "$1"; echo; echo "$PEER $IP $JOB_COMPLETION_INDEX"; echo x > "$SCRATCH/file" && ls "$SCRATCH"'
    environment = [
        {"name": "PEER", "value": "tcp://names-0.gang:29500"},
        {"name": "SCRATCH", "value": "/scratch"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, plan('{"a": 1}'), job("names", script, pods=2, env=environment))
            await finished(cluster, "names")
            first, second = await cluster.list("Pod", None)
            peer = f"tcp://{first['status']['podIP']}:29500"
            assert log(tmp_path, "names-1").read_text().splitlines() == [
                '{"a": 1}', f"{peer} {second['status']['podIP']} 1", "file",
            ]  # fmt: skip

    run(scenario())


def test_a_failure_ends_the_gang_and_keeps_its_exit_code_and_last_words(tmp_path: Path) -> None:
    script = (
        'if [ "$JOB_COMPLETION_INDEX" = 0 ]; then trap "echo saved; exit 75" TERM; echo ready; '
        "while :; do sleep 0.05; done; fi; "
        f"until grep -q ready {tmp_path}/logs/bad-0.log; do sleep 0.02; done; echo 'row 7 is broken'; exit 65"
    )

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("bad", script, pods=2, terminationMessagePolicy="FallbackToLogsOnError"))
            end = await finished(cluster, "bad")
            failed = condition(end, "Failed")
            assert failed is not None
            assert failed["reason"] == "BackoffLimitExceeded"
            (pod,) = await cluster.list("Pod", None)
            assert pod["metadata"]["name"].startswith("bad-1-")
            assert pod["status"]["phase"] == "Failed"
            assert terminated(pod)["exitCode"] == 65
            assert terminated(pod)["message"] == "row 7 is broken"

    run(scenario())
    assert "saved" in log(tmp_path, "bad-0").read_text(), "the other pod was asked to stop, not killed"


@pytest.mark.parametrize(("name", "code"), [("KILL", 137), ("SEGV", 139), ("TERM", 143)])
def test_death_by_signal_is_128_plus_its_number(tmp_path: Path, name: str, code: int) -> None:
    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("killed", f"kill -{name} $$"))
            await finished(cluster, "killed")
            assert terminated((await cluster.list("Pod", None))[0])["exitCode"] == code

    run(scenario())


def test_nothing_outlives_the_main_process(tmp_path: Path) -> None:
    """Not even what moved to a session of its own, as torchrun's workers do."""
    script = "setsid sh -c 'echo $$; exec sleep 1000' & while ! [ -s \"$LOG\" ]; do sleep 0.02; done"
    path = log(tmp_path, "parent-0")

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("parent", script, env=[{"name": "LOG", "value": str(path)}]))
            await finished(cluster, "parent")

    run(scenario())
    assert not is_alive(int(path.read_text()))


def test_deletion_gives_time_and_then_kills_all_processes(tmp_path: Path) -> None:
    child = 'trap "" TERM; echo child $$; while :; do sleep 1; done'
    script = f"trap 'echo asked' TERM; sh -c '{child}' & while :; do wait; done"

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("stubborn", script, grace=1))
            await contains(log(tmp_path, "stubborn-0"), "child")
            await cluster.delete(Reference("Job", "default", "stubborn"))
            await contains(log(tmp_path, "stubborn-0"), "asked")
            (pod,) = await cluster.list("Pod", None)
            assert "deletionTimestamp" in pod["metadata"]
            await all_gone(cluster)

    run(scenario())
    pid = int(log(tmp_path, "stubborn-0").read_text().partition("child ")[2].split()[0])
    assert not is_alive(pid)


def test_the_first_process_may_be_killed_and_still_nothing_is_left(tmp_path: Path) -> None:
    script = "echo $PPID; setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000"

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("headless", script))
            path = log(tmp_path, "headless-0")

            async def two_lines() -> list[str] | None:
                lines = read(path).split()
                return lines if len(lines) == 2 else None

            first, child = map(int, await until(two_lines, "two process ids"))
            os.kill(first, signal.SIGKILL)
            await finished(cluster, "headless")
            assert terminated((await cluster.list("Pod", None))[0])["exitCode"] == 137
            assert not is_alive(child)

    run(scenario())


def test_a_termination_message_is_bounded(tmp_path: Path) -> None:
    script = 'head -c 10000 /dev/zero | tr "\\0" x > $RESULT; exit 70'

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("talker", script))
            await finished(cluster, "talker")
            assert terminated((await cluster.list("Pod", None))[0])["message"] == "x" * 4096

    run(scenario())


def test_a_pod_waits_for_its_plan(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await cluster.apply(job("early", 'cat "$1"'))
            pod = await in_phase(cluster, "Pending")

            async def waits() -> bool:
                (found,) = await cluster.list("Pod", None)
                return bool(found["status"].get("containerStatuses"))

            await until(waits, "a reason")
            (pod,) = await cluster.list("Pod", None)
            assert "ConfigMap plan does not exist" in str(pod["status"]["containerStatuses"])
            await cluster.apply(plan("late"))
            await finished(cluster, "early")

    run(scenario())
    assert log(tmp_path, "early-0").read_text() == "late"


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"command": ["no-such-program"]}, "no-such-program is not installed beside"),
        ({"command": []}, "a container needs a command"),
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, "envFrom is not supported"),
        ({"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, "env S:"),
        ({"volumeMounts": [{"name": "none", "mountPath": "/x"}]}, "names no volume"),
        ({"workingDir": "/no/such/folder"}, "workingDir is not supported"),
        ({"args": ["x"], "livenessProbe": {}}, "args, livenessProbe is not supported"),
    ],
)
def test_what_cannot_start_says_why(tmp_path: Path, container: Object, message: str) -> None:
    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("odd", "true", **container))
            await finished(cluster, "odd")
            end = terminated((await cluster.list("Pod", None))[0])
            assert end["exitCode"] == 128
            assert end["reason"] == "StartError"
            assert message in end["message"]

    run(scenario())


def test_a_port_that_another_program_has_everywhere_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]

        async def scenario() -> None:
            async with LocalCluster(tmp_path) as cluster:
                await submit(cluster, job("taken", "true", ports=[{"containerPort": port}]))
                await finished(cluster, "taken")
                message = terminated((await cluster.list("Pod", None))[0])["message"]
                assert f"port {port} is taken by another program" in message
                assert "stop that program" in message

        run(scenario())


def test_a_taken_rendezvous_port_is_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's store listens on all addresses, so two gangs on one machine cannot share a port."""
    environment = [{"name": "FINETUNE_RENDEZVOUS_PORT", "value": "29500"}]
    ports = [{"containerPort": 29500}]

    async def scenario() -> set[str]:
        async with LocalCluster(tmp_path) as cluster:
            await submit(
                cluster,
                job("one", "echo $FINETUNE_RENDEZVOUS_PORT", 2, ports=ports, env=environment),
                job("two", "echo $FINETUNE_RENDEZVOUS_PORT", 2, ports=ports, env=environment),
            )
            await finished(cluster, "one")
            await finished(cluster, "two")
        return {log(tmp_path, f"{name}-{i}").read_text().strip() for name in ("one", "two") for i in (0, 1)}

    assert len(run(scenario())) == 2


def test_stopping_the_cluster_stops_its_pods_and_records_how_they_ended(tmp_path: Path) -> None:
    script = "echo $$; trap 'exit 75' TERM; while :; do sleep 0.02; done"

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("cut", script))
            await contains(log(tmp_path, "cut-0"), "\n")
        assert not is_alive(int(log(tmp_path, "cut-0").read_text()))
        async with LocalCluster(tmp_path) as cluster:
            await finished(cluster, "cut")
            assert terminated((await cluster.list("Pod", None))[0])["exitCode"] == 75

    run(scenario())


def test_the_runner_goes_on_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "RETRY_SECONDS", 0.01)
    (tmp_path / "logs").write_text("a file where the folder should be")

    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("nolog", "true"))
            await finished(cluster, "nolog")
            assert "logs" in terminated((await cluster.list("Pod", None))[0])["message"]
            (tmp_path / "logs").unlink()
            await submit(cluster, job("again", "echo fine"))
            await finished(cluster, "again")

    run(scenario())
    assert log(tmp_path, "again-0").read_text() == "fine\n"


def test_nothing_is_written_once_all_is_at_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalCluster(tmp_path) as cluster:
            await submit(cluster, job("calm", "true"))
            await finished(cluster, "calm")
            seen: list[str] = []

            async def follow() -> None:
                seen.extend([e.type async for e in cluster.watch("Pod", None)])

            following = asyncio.create_task(follow())
            await asyncio.sleep(0)
            before = {p: p.stat().st_mtime_ns for p in (tmp_path / ".finetune" / "objects").rglob("*")}
            await cluster.apply(plan())
        await following
        assert seen == ["ADDED"]
        async with LocalCluster(tmp_path):
            pass
        after = {p: p.stat().st_mtime_ns for p in (tmp_path / ".finetune" / "objects").rglob("*")}
        assert after == before

    run(scenario())
