"""The operator on a real API server; only the kubelet is played."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import children, job, job_events, status, wait_for_state
from cluster.kubelet import Ending, Kubelet, run_on
from cluster.operator_process import OperatorProcess
from finetune_api import labels
from finetune_api.objects import Object


@pytest.fixture(scope="module")
def operator(plane: ControlPlane) -> Iterator[OperatorProcess]:
    """One operator for the tests that leave it alone."""
    with OperatorProcess(plane) as operator:
        yield operator


def reasons(plane: ControlPlane, namespace: str) -> list[str]:
    """Of the events about jobs, in order."""
    return [event["reason"] for event in job_events(plane, namespace)]


def stage_states(plane: ControlPlane, name: str, namespace: str) -> list[tuple[str, str]]:
    """(stage, state) as the status has them."""
    return [(stage["name"], stage["state"]) for stage in status(plane, name, namespace).get("stages", [])]


def test_a_job_runs_to_its_end(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
    with Kubelet(plane):
        plane.apply(job("one", namespace))
        found = wait_for_state(plane, "one", namespace, "Succeeded")
    assert [(s["name"], s["state"], s["attempt"]) for s in found["stages"]] == [
        ("prepare", "Succeeded", 1), ("pretrain", "Succeeded", 1), ("evaluate", "Succeeded", 1),
    ]  # fmt: skip
    plane.kubectl("wait", "-n", namespace, "--for=condition=Succeeded", "ftj/one", "--timeout=10s")
    wanted = [
        f"{verb} {stage}"
        for stage in ("prepare", "pretrain", "evaluate")
        for verb in ("StageStarted", "StageCompleted")
    ]
    seen = [reason for reason in reasons(plane, namespace) if reason.startswith("Stage")]
    assert seen == [text.split()[0] for text in wanted]
    finished = plane.get("ftj", "one", "-n", namespace)
    assert "annotations" not in finished["metadata"] or not any(
        "kopf" in a for a in finished["metadata"]["annotations"]
    )
    assert "finalizers" not in finished["metadata"]


def test_the_pods_fit_the_restricted_standard(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
    plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with Kubelet(plane):
        plane.apply(job("strict", namespace))
        wait_for_state(plane, "strict", namespace, "Succeeded")
    for pod in plane.get("pods", "-n", namespace)["items"]:
        assert pod["spec"]["automountServiceAccountToken"] is False
        shm = next(v for v in pod["spec"]["volumes"] if v["name"] == "shared-memory")
        assert shm["emptyDir"]["medium"] == "Memory"


def test_a_bad_configuration_is_not_tried_again(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
    with Kubelet(plane, lambda _: Ending(code=65)):
        plane.apply(job("bad", namespace))
        found = wait_for_state(plane, "bad", namespace, "Failed")
    condition = next(c for c in found["conditions"] if c["type"] == "Succeeded")
    assert "prepare broke" in condition["message"]
    assert [name for kind, name in children(plane, namespace) if kind == "Job"] == [
        name for kind, name in children(plane, namespace) if kind == "Job" and name.endswith("-prepare-1")
    ]


def test_metrics_tell_of_a_job_until_it_is_deleted(
    plane: ControlPlane, namespace: str, operator: OperatorProcess
) -> None:
    def series() -> list[str]:
        own = f'namespace="{namespace}"'
        return [line for line in (operator.ask("metrics") or "").splitlines() if own in line]

    with Kubelet(plane):
        plane.apply(job("measured", namespace))
        wait_for_state(plane, "measured", namespace, "Succeeded")
    parts = ("kube_finetunejob_state{", 'finetunejob="measured"', 'state="Succeeded"', "} 1.0")
    wait_for("its state", lambda: any(all(part in line for part in parts) for line in series()))
    plane.kubectl("delete", "ftj", "measured", "-n", namespace)
    wait_for("the end of its series", lambda: not series(), 60.0)


def test_a_preempted_gang_comes_back(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
    def preempted_once(pod: Object) -> Ending:
        own = pod["metadata"]["labels"]
        return Ending(code=75 if own[labels.STAGE] == "pretrain" and own[labels.ATTEMPT] == "1" else 0)

    with Kubelet(plane, preempted_once):
        plane.apply(job("again", namespace))
        found = wait_for_state(plane, "again", namespace, "Succeeded")
    assert [(s["name"], s["attempt"]) for s in found["stages"]] == [("prepare", 1), ("pretrain", 2), ("evaluate", 1)]


def test_suspend_stops_the_pods_and_resume_starts_them(
    plane: ControlPlane, namespace: str, operator: OperatorProcess
) -> None:
    with Kubelet(plane, run_on) as kubelet:
        plane.apply(job("rest", namespace))
        wait_for_state(plane, "rest", namespace, "Running")
        plane.kubectl("patch", "ftj", "rest", "-n", namespace, "--type=merge", "-p", '{"spec":{"suspend":true}}')
        wait_for_state(plane, "rest", namespace, "Suspended")
        assert plane.get("pods", "-n", namespace)["items"] == []
        kubelet.ending = lambda _: Ending()
        plane.kubectl("patch", "ftj", "rest", "-n", namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}')
        wait_for_state(plane, "rest", namespace, "Succeeded")


def test_a_deleted_job_leaves_nothing(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
    with Kubelet(plane, run_on):
        plane.apply(job("gone", namespace))
        wait_for_state(plane, "gone", namespace, "Running")
        plane.kubectl("delete", "ftj", "gone", "-n", namespace, "--timeout=20s")
        wait_for("the garbage collector", lambda: not children(plane, namespace))


def test_a_child_deleted_by_hand_comes_back(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
    with Kubelet(
        plane, lambda pod: Ending(after_seconds=None if "pretrain" in pod["metadata"]["name"] else 0.2)
    ) as kubelet:
        plane.apply(job("whole", namespace))
        wait_for("pretrain to run", lambda: ("pretrain", "Running") in stage_states(plane, "whole", namespace))
        gang = next(name for kind, name in children(plane, namespace) if kind == "Job" and "pretrain" in name)
        plane.kubectl("delete", "job", gang, "-n", namespace)
        wait_for(
            "the next attempt",
            lambda: any(kind == "Job" and name.endswith("-pretrain-2") for kind, name in children(plane, namespace)),
        )
        kubelet.ending = lambda _: Ending()
        wait_for_state(plane, "whole", namespace, "Succeeded")


def test_an_unknown_runtime_is_told_and_taken_up_once_it_is_there(
    plane: ControlPlane, namespace: str, operator: OperatorProcess
) -> None:
    plane.apply(job("early", namespace, runtimeRef={"kind": "FineTuneRuntime", "name": "mine"}))

    def is_told() -> bool:
        conditions = status(plane, "early", namespace).get("conditions", ())
        return any(c["type"] == "Valid" and c["reason"] == "RuntimeNotFound" for c in conditions)

    wait_for("the condition", is_told)
    runtime = {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneRuntime",
        "metadata": {"name": "mine", "namespace": namespace},
        "spec": {"image": "registry.example/trainer@sha256:" + 64 * "0"},
    }
    with Kubelet(plane):
        plane.apply(runtime)
        wait_for_state(plane, "early", namespace, "Succeeded", 20)


def test_a_restart_writes_nothing(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
    with Kubelet(plane, run_on):
        for index in range(5):
            plane.apply(job(f"job-{index}", namespace))
        for index in range(5):
            plane.kubectl("wait", "-n", namespace, "--for=condition=PodsReady", f"ftj/job-{index}", "--timeout=60s")
        versions = {
            o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in plane.get("ftj", "-n", namespace)["items"]
        }
        assert operator.kill(signal.SIGTERM) == 0
        operator.start()
        wait_for("its visits", lambda: 'reconciles_total{result="success"}' in (operator.ask("metrics") or ""))
        wait_for("an empty queue", lambda: "finetune_operator_queue_depth 0.0" in (operator.ask("metrics") or ""))
        written = [
            line for line in (operator.ask("metrics") or "").splitlines()
            if line.startswith("finetune_operator_api_requests_total") and 'verb="GET"' not in line
        ]  # fmt: skip
        assert written == []
        after = {
            o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in plane.get("ftj", "-n", namespace)["items"]
        }
        assert after == versions


def test_a_job_deleted_while_the_operator_is_away_is_gone(
    plane: ControlPlane, namespace: str, operator: OperatorProcess
) -> None:
    with Kubelet(plane, run_on):
        plane.apply(job("left", namespace))
        wait_for_state(plane, "left", namespace, "Running")
        operator.kill()
        plane.kubectl("delete", "ftj", "left", "-n", namespace, "--timeout=10s")
        wait_for("the garbage collector", lambda: not children(plane, namespace))
        operator.start()


def test_of_two_replicas_one_acts_and_the_other_takes_over(
    plane: ControlPlane, namespace: str, operator: OperatorProcess
) -> None:
    second = OperatorProcess(plane, name="standby")
    second.start(wait=False)
    try:
        wait_for("the standby", lambda: second.ask("readyz") is not None)
        assert operator.is_leader()
        assert not second.is_leader()
        operator.kill()
        wait_for("the failover", second.is_leader, 20)
        with Kubelet(plane):
            plane.apply(job("after", namespace))
            wait_for_state(plane, "after", namespace, "Succeeded")
    finally:
        second.kill()
        operator.start()
