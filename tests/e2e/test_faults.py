"""A pod, the operator or the whole node is killed, the job is suspended: it ends as if nothing had been."""

from __future__ import annotations

from pathlib import Path

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import job_events, wait_for_state
from e2e.jobs import RUNNING_SECONDS, events, long_job, story, wait_for_end, wait_for_step, write_corpus
from e2e.real_node import RealNode
from finetune_api import labels

NAME = "rough-day"


def pods(plane: ControlPlane, namespace: str) -> list[str]:
    """Names of the pods of the gang that runs, by rank."""
    items = plane.get("pods", "-n", namespace, "-l", f"{labels.JOB}={NAME}", "--field-selector=status.phase=Running")
    ranks = {pod["metadata"]["labels"][labels.JOB_COMPLETION_INDEX]: pod for pod in items["items"]}
    return [ranks[rank]["metadata"]["name"] for rank in sorted(ranks)]


def test_a_rough_day(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    plane.apply(long_job(NAME, namespace, 1_500_000))

    before = wait_for_step(plane, NAME, namespace, 20)
    plane.kubectl("delete", "pod", pods(plane, namespace)[1], "-n", namespace, "--force", "--grace-period=0")
    wait_for("a second gang", lambda: "GangRestarted pretrain" in events(plane, namespace), RUNNING_SECONDS, every=0.5)
    resumed = wait_for_step(plane, NAME, namespace, before)

    plane.kubectl("delete", "pods", "--all", "-n", "finetune-operator", "--force", "--grace-period=0")
    resumed = wait_for_step(plane, NAME, namespace, resumed + 1)

    plane.kubectl("patch", "ftj", NAME, "-n", namespace, "--type=merge", "-p", '{"spec": {"suspend": true}}')
    wait_for_state(plane, NAME, namespace, "Suspended")
    assert pods(plane, namespace) == []
    plane.kubectl("patch", "ftj", NAME, "-n", namespace, "--type=merge", "-p", '{"spec": {"suspend": false}}')
    wait_for_step(plane, NAME, namespace, resumed)

    ended = wait_for_end(plane, NAME, namespace)
    assert ended["state"] == "Succeeded", story(plane, namespace)
    pretrain = next(stage for stage in ended["stages"] if stage["name"] == "pretrain")
    assert sum(pretrain["restarts"].values()) >= 1
    seen = events(plane, namespace)
    assert seen.count("StageCompleted pretrain") == 1
    assert "Suspended" in {event.split()[0] for event in seen}


def test_a_node_that_loses_its_power_and_gets_it_back(
    node: RealNode, plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    name = "power"
    write_corpus(tmp_path)
    plane.apply(long_job(name, namespace, 700_000))
    before = wait_for_step(plane, name, namespace, 30)
    node.crash()
    node.boot()
    wait_for_step(plane, name, namespace, before + 10)

    ended = wait_for_end(plane, name, namespace)
    assert ended["state"] == "Succeeded", story(plane, namespace)
    pretrain = next(stage for stage in ended["stages"] if stage["name"] == "pretrain")
    assert pretrain["restarts"] == {"Infrastructure": 1}, story(plane, namespace)
    resumed = [event["note"] for event in job_events(plane, namespace) if event["reason"] == "Resumed"]
    assert len(resumed) == 1
    assert "goes on from the checkpoint" in resumed[0]
