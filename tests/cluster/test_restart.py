"""On a real API server: what an operator does that was away and comes back."""

from __future__ import annotations

import json
import signal
import time

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import job, wait_for_state
from cluster.kubelet import Ending, Kubelet, run_on
from cluster.operator_process import OperatorProcess

JOBS = 60
START_SECONDS = 90.0
AFTER_CACHES_SECONDS = 2.0


def looks(operator: OperatorProcess) -> float:
    """Lists of the ConfigMaps."""
    return operator.metric("api_requests_total", 'kind="ConfigMap"', 'verb="GET"')


def reasons(plane: ControlPlane, namespace: str) -> list[str]:
    """Why the pods of the jobs are not ready, for each job of which that is known."""
    conditions = [
        c for o in plane.get("ftj", "-n", namespace)["items"] for c in o.get("status", {}).get("conditions", [])
    ]
    return [c["reason"] for c in conditions if c["type"] == "PodsReady"]


def test_a_restart_among_many_jobs_writes_nothing(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl("delete", "ftj", "--all", "--all-namespaces")  # namespaces of earlier tests take a while to go
    operator = OperatorProcess(plane, name="restarted", STATUS_INTERVAL_SECONDS="3600", CHILDREN_SECONDS="1")
    with operator:
        plane.apply(*(job(f"job-{index:03d}", namespace) for index in range(JOBS)))
        wait_for(
            "pods that no node takes", lambda: reasons(plane, namespace) == ["Unschedulable"] * JOBS, START_SECONDS
        )
        wait_for("an empty queue", lambda: operator.metric("queue_depth") == 0)
        assert operator.kill(signal.SIGTERM) == 0
        before = versions(plane, namespace)
        operator.start()
        began = time.monotonic()
        wait_for("the visits", lambda: operator.visits() >= JOBS, START_SECONDS)
        assert time.monotonic() - began <= AFTER_CACHES_SECONDS
        read = looks(operator)
        wait_for("two more looks at the children", lambda: looks(operator) >= read + 2)
        requests = operator.series("api_requests_total")
        assert [series for series in requests if 'verb="GET"' not in series] == []
        assert sum(requests.values()) > 0
        assert versions(plane, namespace) == before


def test_of_pods_that_are_gone_the_job_tells_why_they_failed(plane: ControlPlane, namespace: str) -> None:
    away = OperatorProcess(plane, name="away")
    with away, Kubelet(plane, run_on) as kubelet:
        plane.apply(job("forgotten", namespace))
        wait_for_state(plane, "forgotten", namespace, "Running")
        away.kill()
        kubelet.ending = lambda _: Ending(code=65)
        plane.kubectl("wait", "-n", namespace, "--for=condition=Failed", "jobs", "--all", "--timeout=30s")
        plane.kubectl("delete", "pods", "-n", namespace, "--all", "--force", "--grace-period=0")
        away.start()
        found = wait_for_state(plane, "forgotten", namespace, "Failed")
    assert found["stages"][0]["attempt"] == 1, "a mistake of the user is not tried again"
    condition = next(c for c in found["conditions"] if c["type"] == "Succeeded")
    assert "failed with exit code 65" in condition["message"]


def versions(plane: ControlPlane, namespace: str) -> str:
    """Of all jobs and their children but the Jobs, whose status is not ours."""
    items = plane.get("ftj,configmaps,services", "-n", namespace)["items"]
    return json.dumps(sorted((o["kind"], o["metadata"]["name"], o["metadata"]["resourceVersion"]) for o in items))
