"""A pod of a gang: runs torchrun's agent, which starts the ranks, and ends with the result that is the cause."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api import labels
from finetune_api.exit_codes import ExitCode
from finetune_api.stage_result import StageResult
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration, Infrastructure, StageFailure
from finetune_trainer.pod import cause
from finetune_trainer.pod.failures import explain, port_taken
from finetune_trainer.pod.logs import set_up_logs, take_over_libraries
from finetune_trainer.pod.rank import Assignment, RankProcess
from finetune_trainer.pod.results import choose, failed_result, read_results, result_file, write_termination_message
from finetune_trainer.pod.signals import listen
from finetune_trainer.registry import quick_imports
from finetune_trainer.stages import find_stage

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

RENDEZVOUS_SECONDS = 600
"""How long the first pod of a gang waits for the last: nodes may still be pulling the image."""
LAST_WORDS_BYTES = 2**16
_log = logging.getLogger(__name__)


class Pod:
    """The pod's own process."""

    def __init__(self, assignment: Assignment) -> None:
        """`assignment` is what all its ranks are given."""
        self._assignment = assignment
        self._plan = assignment.plan
        self._started_at = datetime.now(UTC)
        self._ending = threading.Lock()
        self._store: Store | None = None

    def run_alone(self) -> StageResult:
        """Run the only rank in this process: a stage that is not distributed, or a gang of one."""
        # torchrun's agent would cost another process with torch in it, and guards nothing here.
        result = RankProcess(self._assignment, Ranks(), lambda: self._end({})).run()
        self._ending.acquire()
        return result

    def run_gang(self) -> StageResult:
        """Run this pod's share of a gang."""
        with tempfile.TemporaryDirectory(prefix="finetune-", ignore_cleanup_errors=True) as folder:
            self._assignment = replace(self._assignment, results=Path(folder))
            listen(self._forward)
            try:
                codes, said = self._run_agent(Path(folder))
            except Exception as error:  # noqa: BLE001 - whatever the agent raises becomes a result
                result = self._explain(error)
            else:
                result = choose(read_results(Path(folder)), codes, self._plan, said)
            self._ending.acquire()
            if result.exit_code != ExitCode.DONE:
                cause.linger(self._store, self._plan.world_size)
            return result

    def _run_agent(self, folder: Path) -> tuple[dict[int, int | None], dict[int, str]]:
        """Start the ranks and wait for them; returns exit code and last words of the ranks known to have failed."""
        plan = self._plan
        with quick_imports():
            import torch
            from torch._C._distributed_c10d import TCPStore  # where its type is
            from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
            from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
            from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        method = start_method(torch.cuda.device_count())
        if method == "fork":
            find_stage(plan.stage, self._assignment.table)  # imported once instead of by each rank
        take_over_libraries()
        host = os.environ.get(labels.ENV_RENDEZVOUS_HOST, "127.0.0.1")
        port = int(os.environ.get(labels.ENV_RENDEZVOUS_PORT, labels.RENDEZVOUS_PORT))
        if node_rank() == 0:
            # The agent would open the same store and close it when the first rank fails; this reference keeps it open
            # until the other pods know why.
            self._store = TCPStore(host, port, is_master=True, wait_for_workers=False, multi_tenant=True)
        config = LaunchConfig(
            min_nodes=plan.nodes,
            max_nodes=plan.nodes,
            nproc_per_node=plan.processes_per_node,
            run_id=f"{plan.job.uid}-{plan.stage}-{plan.attempt}",
            rdzv_backend="static",
            rdzv_endpoint=f"{host}:{port}",
            rdzv_configs={"rank": node_rank(), "timeout": RENDEZVOUS_SECONDS},
            max_restarts=0,
            start_method=method,
            local_addr=os.environ.get(labels.ENV_POD_IP),
            # SIGTERM and SIGINT are ours: the agent would kill ranks that are still saving after 30 seconds.
            signals_to_handle="SIGQUIT",
            # Native code tells its reasons on stderr only: a copy is kept until the pod knows why it ends.
            logs_specs=DefaultLogsSpecs(log_dir=str(folder / "agent"), tee=Std.ERR),
            log_line_prefix_template="rank ${rank} ",
        )
        try:
            elastic_launch(config, run_rank)(self._assignment)
        except ChildFailedError as error:
            failures = error.failures.items()
            said = {rank: last_words(folder / "agent", failure.local_rank) for rank, failure in failures}
            return {rank: failure.exitcode for rank, failure in failures}, said
        return {}, {}

    def _explain(self, error: Exception) -> StageResult:
        text = str(error)
        failure: StageFailure
        if "EADDRINUSE" in text or "address already in use" in text:
            failure = port_taken(f"{labels.ENV_RENDEZVOUS_PORT}={os.environ.get(labels.ENV_RENDEZVOUS_PORT)}")
        else:
            failure = explain(error)
        if failure.reason == "PeerLost":
            failure = Infrastructure(
                "RendezvousFailed",
                f"the pods of the gang did not meet within {RENDEZVOUS_SECONDS} s",
                "Look at the events of the pods that are missing.",
            )
        _log.error("%s: %s %s", failure.reason, failure.message, failure.remedy)
        return failed_result(self._plan.stage, self._plan.attempt, failure, self._started_at)

    def _forward(self, _: int) -> None:
        """Pass a signal on to the ranks as SIGTERM; without any, end: nothing has begun, or all is over."""
        children = child_processes()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if not children and self._assignment.results is not None:
            self._end(read_results(self._assignment.results))

    def _end(self, results: dict[int, StageResult]) -> None:
        """End this process from a signal, unless it is ending by itself."""
        if self._ending.acquire(blocking=False):
            result = choose(results, {}, self._plan)
            leave_result(result)
            sys.stdout.flush()
            os._exit(result.exit_code)


def start_method(gpus: int) -> str:
    """How the agent starts a rank: a fork has all that was imported, which saves seconds; CUDA does not survive one."""
    return "spawn" if gpus else "fork"


def run_rank(assignment: Assignment) -> None:
    """What the agent runs in each rank's process: leaves the result for the pod and ends with its exit code."""
    ranks = Ranks.from_environment()
    set_up_logs(ranks.rank)
    result = RankProcess(assignment, ranks, lambda: os._exit(ExitCode.TERMINATED)).run()
    if assignment.results is not None:
        path = result_file(assignment.results, ranks.rank)
        path.write_text(result.to_termination_message(), encoding="utf-8")
    if result.exit_code != ExitCode.DONE:
        sys.stdout.flush()
        # Not sys.exit: tearing down a broken process group may wait for peers that never answer.
        os._exit(result.exit_code)


def last_words(folder: Path, local_rank: int) -> str:
    """The end of what a rank wrote to stderr, in the agent's folder of logs; nothing if that cannot be read."""
    for path in folder.glob(f"*/attempt_*/{local_rank}/stderr.log"):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - LAST_WORDS_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""
    return ""


def node_rank() -> int:
    """Index of this pod in its gang."""
    return int(os.environ.get(labels.ENV_NODE_RANK, "0"))


def child_processes() -> list[int]:
    """Process ids of the ranks, which the main thread has started."""
    pid = os.getpid()
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def leave_result(result: StageResult) -> None:
    """Write the termination message, if the pod has one."""
    path = os.environ.get(labels.ENV_TERMINATION_LOG)
    if path is None:
        return
    try:
        write_termination_message(Path(path), result)
    except OSError as error:
        _log.warning("no termination message: %s", error)


def run_pod(assignment: Assignment) -> StageResult:
    """Run this pod's part of a stage.

    Raises:
        BadConfiguration: if the environment contradicts the plan.
    """
    plan, stage = assignment.plan, assignment.table[assignment.plan.stage]
    nodes = int(os.environ.get(labels.ENV_NODES, plan.nodes))
    if nodes != plan.nodes:
        raise BadConfiguration("BadPlan", f"{labels.ENV_NODES}={nodes}, but the plan says {plan.nodes} nodes")
    if not stage.distributed and plan.world_size > 1:
        raise BadConfiguration(
            "NotSupported",
            f"stage {plan.stage} runs in one process; the plan asks for {plan.world_size}",
            "Plan it with one node and one process.",
        )
    pod = Pod(assignment)
    return pod.run_alone() if plan.world_size == 1 else pod.run_gang()
