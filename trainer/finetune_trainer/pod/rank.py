"""One rank of a stage: sets up what the recipe needs, runs it, and turns whatever happens into a StageResult."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api import labels
from finetune_api.exit_codes import ExitCode
from finetune_api.plan import Plan
from finetune_api.stage_result import StageResult
from finetune_trainer.context import StageContext, StageOutcome, StopFlag
from finetune_trainer.devices import compare_devices, device_facts
from finetune_trainer.distributed import Ranks, join_process_group, leave_process_group
from finetune_trainer.observe.progress import ProgressReporter
from finetune_trainer.observe.server import ProgressServer, serve
from finetune_trainer.pod import cause
from finetune_trainer.pod.failures import explain
from finetune_trainer.pod.logs import take_over_libraries
from finetune_trainer.pod.results import failed_result, is_follower, write_report
from finetune_trainer.pod.signals import listen
from finetune_trainer.stages import StageTable, find_stage
from finetune_trainer.workspace.artifacts import read_manifest, record_result

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

ORPHAN_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a pod's ranks have in common."""

    plan: Plan
    workspace: Path
    table: StageTable
    started: float
    """Start of the pod's process on the clock of time.monotonic(), which all processes of a machine share."""
    results: Path | None = None
    """Folder in which each rank leaves its result for its pod; None: the pod is this process."""


class RankProcess:
    """One rank, from its first moment to its result."""

    def __init__(self, assignment: Assignment, ranks: Ranks, end_early: Callable[[], None]) -> None:
        """`ranks` is which one this is; `end_early` ends the process when it is stopped before the recipe began."""
        self._end_early = end_early
        self._assignment = assignment
        self._plan = assignment.plan
        self._ranks = ranks
        self._stop = StopFlag()
        self._began = threading.Event()
        self._parent = os.getppid()
        self._started_at = datetime.now(UTC)
        self._store: Store | None = None
        self._progress = ProgressReporter(assignment.plan, ranks.rank, assignment.started)
        self._server: ProgressServer | None = None

    def run(self) -> StageResult:
        """Run the stage. Never raises."""
        try:
            return self._run_stage()
        except BaseException as error:  # noqa: BLE001 - this is where every error becomes a result
            return self._fail(error)
        finally:
            if self._server is not None:
                self._server.close()

    def _run_stage(self) -> StageResult:
        listen(self._on_signal)
        plan, ranks = self._plan, self._ranks
        where = f"rank {ranks.rank} of {ranks.size}, pid {os.getpid()}"
        _log.info("%s, attempt %d, %s", plan.stage, plan.attempt, where)
        self._server = self._serve()
        context = StageContext(plan, self._assignment.workspace, ranks, self._progress, self._stop)
        if ranks.size > 1:
            _log.info("device %s", context.device)  # one that is missing is told before NCCL looks for it
            self._store = join_process_group(ranks, f"{plan.stage}-{plan.attempt}")
            differ = compare_devices(ranks.gather(device_facts(context.device)), plan.spec.parallelism.precision)
            if differ is not None and ranks.is_main:
                _log.warning("%s", differ)
        if self._assignment.table[plan.stage].distributed:
            # Ranks share the cores already; tokenizers also warns of a fork otherwise.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        recipe = find_stage(plan.stage, self._assignment.table)
        take_over_libraries()
        self._began.set()
        result = self._succeed(recipe(context))
        if ranks.size > 1:
            leave_process_group()
        return result

    def _serve(self) -> ProgressServer | None:
        port = os.environ.get(labels.ENV_PROGRESS_PORT)
        if port is None:
            return None
        host = os.environ.get(labels.ENV_POD_IP, "127.0.0.1")
        return serve(self._progress, host, int(port) + self._ranks.local_rank, is_main=self._ranks.is_main)

    def _on_signal(self, number: int) -> None:
        """Asked to stop: at the next step; at once if there is nothing to save or the pod's process is gone."""
        if self._assignment.results is not None and number == signal.SIGINT:
            # The pod forwards every request to stop as SIGTERM. SIGINT comes from the kernel when the pod's process
            # dies, or from Ctrl-C, which the pod has received, too.
            if self._is_orphan():
                os._exit(ExitCode.KILLED)
            return
        if self._began.is_set():
            if not self._stop.requested:
                _log.info("signal %d: stopping at the next step", number)
            self._stop.request()
        else:
            self._end_early()

    def _is_orphan(self) -> bool:
        """Whether the pod's process is gone; its last threads may need a moment."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while os.getppid() == self._parent:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def _succeed(self, outcome: StageOutcome) -> StageResult:
        plan = self._plan
        manifest = None
        if self._ranks.is_main and outcome.artifact is not None:
            manifest = read_manifest(self._assignment.workspace / outcome.artifact)
        result = StageResult(
            stage=plan.stage,
            attempt=plan.attempt,
            outcome="Succeeded",
            exit_code=int(ExitCode.DONE),
            artifact=outcome.artifact,
            digest=manifest.digest if manifest else None,
            summary=outcome.summary,
            message=outcome.message[:512],
            evaluation=outcome.evaluation,
            productive_seconds=outcome.productive_seconds or self._progress.productive_seconds,
            devices=plan.world_size,
            started_at=self._started_at,
            completed_at=datetime.now(UTC),
        )
        if self._ranks.is_main:
            if outcome.artifact is not None:
                record_result(self._assignment.workspace, outcome.artifact, result.to_json_object())
            write_report(self._assignment.workspace, plan, result)
            _log.info("%s is done: %s", plan.stage, result.message or result.artifact or "")
        return result

    def _fail(self, error: BaseException) -> StageResult:
        failure = explain(error)
        if failure is not error:
            self._keep_traceback(error)
        plan, ranks = self._plan, self._ranks
        rank = ranks.rank if ranks.size > 1 else None
        saved = self._progress.saved_productive_seconds
        result = failed_result(plan.stage, plan.attempt, failure, self._started_at, rank, saved)
        if is_follower(result):
            found = cause.await_cause(self._store)
            _log.error("%s%s", failure.message, f": {_summary(found)}" if found else "")
            return found.model_copy(update={"productive_seconds": saved}) if found else result
        cause.announce(self._store, result)
        if result.error is None:
            _log.info("%s", result.message)
        else:
            _log.error("%s: %s %s", failure.reason, failure.message, failure.remedy)
        return result

    def _keep_traceback(self, error: BaseException) -> None:
        folder = self._assignment.workspace / self._plan.path("logs")
        path = folder / f"{self._plan.stage}-{self._plan.attempt}-rank{self._ranks.rank}.traceback"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        except OSError:
            return  # a full disk must not hide the error itself


def _summary(result: StageResult) -> str:
    return result.error.message if result.error else result.message
