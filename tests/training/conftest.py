"""Gangs for the tests: pods of the trainer as processes with loopback addresses and free ports of their own."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import lifeline
from finetune_api import labels
from finetune_api.plan import Plan
from finetune_api.stage_result import StageResult, parse_termination_message
from training.programs import TRAINER, Program
from training.warm_process import WarmProcess, WarmServer

DEADLINE_SECONDS = 400.0
TESTS = Path(__file__).resolve().parent.parent


@dataclass
class PodRun:
    """One pod: a process with files for what it says."""

    index: int
    process: subprocess.Popen[bytes] | WarmProcess
    address: str
    progress_port: int
    stdout: Path
    stderr: Path
    termination_log: Path

    @property
    def output(self) -> str:
        """All that it has printed so far, both streams."""
        return self.stdout.read_text(encoding="utf-8") + self.stderr.read_text(encoding="utf-8")

    @property
    def result(self) -> StageResult | None:
        """Its termination message."""
        if not self.termination_log.exists():
            return None
        return parse_termination_message(self.termination_log.read_text(encoding="utf-8"))

    @property
    def exit_code(self) -> int:
        """As Kubernetes shows it; the pod has ended."""
        code = self.process.poll()
        assert code is not None, "the pod still runs"
        return code if code >= 0 else 128 - code

    def rank_pids(self) -> list[int]:
        """Process ids of its ranks."""
        pid = self.process.pid
        try:
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []


@dataclass
class GangRun:
    """The pods of one attempt of a stage."""

    pods: list[PodRun]

    def wait(self, seconds: float = DEADLINE_SECONDS) -> list[PodRun]:
        """Until all pods have ended."""
        deadline = time.monotonic() + seconds
        for pod in self.pods:
            try:
                pod.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pytest.fail(f"pod {pod.index} still runs after {seconds} s:\n{pod.output}")
        return self.pods

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Until `condition`; fails if a pod ends before."""
        deadline = time.monotonic() + seconds
        while not condition():
            for pod in self.pods:
                assert pod.process.poll() is None, f"pod {pod.index} ended before {what}:\n{pod.output}"
            assert time.monotonic() < deadline, f"no {what} within {seconds} s"
            time.sleep(0.02)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to all pods."""
        for pod in self.pods:
            pod.process.send_signal(number)

    @property
    def exit_codes(self) -> list[int]:
        """By pod."""
        return [pod.exit_code for pod in self.pods]


StartGang = Callable[..., GangRun]


def free_port(host: str = "") -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def warm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmServer]:
    """What forks the pods that need no interpreter of their own."""
    server = WarmServer(tmp_path_factory.getbasetemp() / "warm-server.log", os.environ | {"PYTHONPATH": str(TESTS)})
    yield server
    server.stop()


@pytest.fixture
def start_gang(tmp_path: Path, warm_server: WarmServer) -> Iterator[StartGang]:
    """`start_gang(plan, env={}, program=TRAINER, only=None, fresh=False)` starts the plan's pods, or `only` some.

    `fresh` ones are started as in a container, in an interpreter of their own, and import for themselves; the others
    are forks. What is left at the end of the test is killed by pid.
    """
    started: list[PodRun] = []
    numbers = itertools.count()

    def start(
        plan: Plan,
        env: Mapping[str, str] | None = None,
        program: Program = TRAINER,
        only: Sequence[int] | None = None,
        *,
        fresh: bool = False,
    ) -> GangRun:
        folder = tmp_path / f"gang{next(numbers)}"
        folder.mkdir()
        plan_file = folder / "plan.json"
        plan_file.write_text(plan.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
        rendezvous_port = free_port()
        program = replace(program, arguments=(*program.arguments, plan.stage, "--plan", str(plan_file)))
        pods = []
        for index in range(plan.nodes) if only is None else only:
            address = f"127.0.0.{index + 2}"
            environment = os.environ | {
                "PYTHONPATH": str(TESTS),
                "GLOO_SOCKET_IFNAME": "lo",
                labels.ENV_NODES: str(plan.nodes),
                labels.ENV_NODE_RANK: str(index),
                labels.ENV_RENDEZVOUS_HOST: "127.0.0.2",
                labels.ENV_RENDEZVOUS_PORT: str(rendezvous_port),
                labels.ENV_POD_IP: address,
                labels.ENV_PROGRESS_PORT: str(free_port(address)),
                labels.ENV_TERMINATION_LOG: str(folder / f"pod{index}.termination"),
            }
            environment |= env or {}
            stdout, stderr = folder / f"pod{index}.out", folder / f"pod{index}.err"
            with stdout.open("wb") as out, stderr.open("wb") as err:
                process = (
                    lifeline.start(program.command, env=environment, stdout=out, stderr=err)
                    if fresh
                    else warm_server.start(program, environment, out, err)
                )
            port = int(environment[labels.ENV_PROGRESS_PORT])
            pods.append(PodRun(index, process, address, port, stdout, stderr,
                               Path(environment[labels.ENV_TERMINATION_LOG])))  # fmt: skip
        started.extend(pods)
        return GangRun(pods)

    yield start
    for pod in started:
        for pid in pod.rank_pids() if pod.process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
        if pod.process.poll() is None:
            pod.process.kill()
        pod.process.wait()


@pytest.fixture
def run_gang(start_gang: StartGang) -> Callable[..., GangRun]:
    """`run_gang(plan, env={}, program=TRAINER, fresh=False)` runs the plan's pods to their end."""

    def run(
        plan: Plan, env: Mapping[str, str] | None = None, program: Program = TRAINER, *, fresh: bool = False
    ) -> GangRun:
        gang = start_gang(plan, env, program, fresh=fresh)
        gang.wait()
        return gang

    return run
