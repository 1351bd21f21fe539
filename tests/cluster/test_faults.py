"""The operator is killed, cut off and lied to; jobs end as if nothing had happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cluster.control_plane import ControlPlane, wait_for
from cluster.fault_proxy import FaultProxy
from cluster.jobs import children, job, status, wait_for_state
from cluster.kubelet import Kubelet, run_on, succeed
from cluster.operator_process import OperatorProcess

CONVERGED_SECONDS = 60.0
KILLS = 3


@pytest.fixture
def proxy(plane: ControlPlane) -> Iterator[FaultProxy]:
    """Between operator and API server."""
    proxy = FaultProxy(plane.url)
    proxy.start()
    yield proxy
    proxy.stop()


def picture(plane: ControlPlane, name: str, namespace: str) -> tuple[object, ...]:
    """What must be the same whatever happened on the way."""
    found = status(plane, name, namespace)
    stages = [(s["name"], s["state"], s["attempt"], s.get("artifact")) for s in found["stages"]]
    conditions = sorted((c["type"], c["status"], c["reason"]) for c in found["conditions"])
    return found["state"], stages, conditions, [kind for kind, _ in children(plane, namespace)]


class KillAfter:
    """Kills the operator right after its n-th write."""

    def __init__(self, operator: OperatorProcess, writes: int) -> None:
        self._operator = operator
        self._left = writes
        self.done = threading.Event()

    def __call__(self, _: str) -> None:
        self._left -= 1
        if self._left == 0:
            self._operator.kill()
            self.done.set()

    def disarm(self) -> None:
        """Kill nobody any more."""
        self._left = 0


@pytest.mark.timeout(900)
def test_killed_after_any_of_its_writes_it_ends_in_the_same_state(
    plane: ControlPlane, namespace: str, proxy: FaultProxy
) -> None:
    """One life of a job from creation to its end, over and over, killed one write later each time.

    After the first kill come two more, each after the very next write: so every write is the last one three times.
    """
    # A Lease of a killed process would only cost time here.
    operator = OperatorProcess(plane, proxy.url, "killed", LEADER_ELECTION="false")
    with Kubelet(plane):
        expected = life(plane, "reference", namespace, operator, [])
        total = len(proxy.writes)
        assert total >= 10
        for number in range(1, total + 1):
            kills = [number, *[1] * (KILLS - 1)]
            seen = life(plane, f"job-{number}", namespace, operator, [kill_after(proxy, operator, n) for n in kills])
            assert seen == expected, f"killed after write {number} of {total}"


def kill_after(proxy: FaultProxy, operator: OperatorProcess, writes: int) -> Callable[[], KillAfter]:
    def arm() -> KillAfter:
        proxy.faults.on_write = kill = KillAfter(operator, writes)
        return kill

    return arm


def life(
    plane: ControlPlane, name: str, namespace: str, operator: OperatorProcess, kills: list[Callable[[], KillAfter]]
) -> tuple[object, ...]:
    """What a job's life ends in; nothing may be left of it once it is deleted."""

    def has_succeeded() -> bool:
        return bool(status(plane, name, namespace).get("state") == "Succeeded")

    plane.apply(job(name, namespace, evaluate=None))
    for arm in kills:
        kill = arm()
        operator.start(wait=False)  # it may be killed before it is seen to serve
        wait_for("the kill", lambda kill=kill: kill.done.is_set() or has_succeeded())  # type: ignore[misc]
        kill.disarm()
        if not kill.done.is_set():
            operator.kill()
            break
    operator.start()
    wait_for_state(plane, name, namespace, "Succeeded")
    seen = picture(plane, name, namespace)
    plane.kubectl("delete", "ftj", name, "-n", namespace)
    wait_for("the garbage collector", lambda: not children(plane, namespace))
    operator.kill()
    return seen


def test_watches_that_are_cut_every_second(plane: ControlPlane, namespace: str, proxy: FaultProxy) -> None:
    proxy.faults.cut_watches_after_seconds = 1.0
    with OperatorProcess(plane, proxy.url, "cut"), Kubelet(plane):
        plane.apply(job("cut", namespace))
        wait_for_state(plane, "cut", namespace, "Succeeded", CONVERGED_SECONDS)


def test_watches_that_are_too_old(plane: ControlPlane, namespace: str, proxy: FaultProxy) -> None:
    with OperatorProcess(plane, proxy.url, "old", RESYNC_SECONDS="5"), Kubelet(plane):
        plane.apply(job("old", namespace))
        wait_for("the first stage", lambda: status(plane, "old", namespace).get("stages"))
        proxy.faults.watch_status, proxy.faults.cut_watches_after_seconds = 410, 0.2
        time.sleep(10)  # the length of the fault
        proxy.faults.watch_status = proxy.faults.cut_watches_after_seconds = None
        wait_for_state(plane, "old", namespace, "Succeeded", CONVERGED_SECONDS)


@pytest.mark.parametrize(("code", "retry_after"), [(429, 2), (500, None), (503, 1)])
def test_an_api_server_that_refuses_everything_for_a_while(
    code: int, retry_after: int | None, plane: ControlPlane, namespace: str, proxy: FaultProxy
) -> None:
    with OperatorProcess(plane, proxy.url, f"refused-{code}", LEADER_ELECTION="false"), Kubelet(plane):
        plane.apply(job("patient", namespace))
        wait_for("the first stage", lambda: status(plane, "patient", namespace).get("stages"))
        proxy.faults.all_status, proxy.faults.retry_after = code, retry_after
        time.sleep(15)  # the length of the fault
        proxy.faults.all_status = None
        wait_for_state(plane, "patient", namespace, "Succeeded", CONVERGED_SECONDS)


def test_a_lost_lease_ends_the_process(plane: ControlPlane, namespace: str, proxy: FaultProxy) -> None:
    operator = OperatorProcess(plane, proxy.url, "lost")
    operator.start()
    proxy.faults.all_status = 500
    assert operator.process is not None
    assert operator.process.wait(30) == 1
    assert "the Lease is lost" in operator.log.read_text()


def test_the_api_server_starts_anew(plane: ControlPlane, namespace: str) -> None:
    with OperatorProcess(plane, name="patient", LEADER_ELECTION="false") as operator, Kubelet(plane, run_on) as kubelet:
        plane.apply(job("long", namespace))
        plane.kubectl("wait", "-n", namespace, "--for=condition=PodsReady", "ftj/long", "--timeout=60s")
        plane.kill("kube-apiserver")
        time.sleep(2)  # the length of the outage
        plane.start_api_server()
        kubelet.ending = succeed
        wait_for_state(plane, "long", namespace, "Succeeded", CONVERGED_SECONDS)
        assert operator.ask("healthz") == "ok\n"
