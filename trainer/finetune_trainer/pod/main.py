"""`finetune-trainer STAGE --plan plan.json`: what a pod runs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from finetune_api.exit_codes import ExitCode
from finetune_api.plan import Plan
from finetune_api.problems import join_problems, problems_of
from finetune_api.refusals import refusals
from finetune_api.stage_result import StageResult
from finetune_api.stages import PIPELINE, STAGES, Stage
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.pod.allocator import keep_freed_memory
from finetune_trainer.pod.environment import set_defaults, share_cores
from finetune_trainer.pod.failures import explain
from finetune_trainer.pod.launch import leave_result, node_rank, run_pod, run_rank
from finetune_trainer.pod.logs import set_up_logs
from finetune_trainer.pod.rank import Assignment
from finetune_trainer.pod.results import failed_result, write_report
from finetune_trainer.pod.reuse import finished_result, look_ahead, reused_result
from finetune_trainer.stages import StageTable, lacks_matches, require_stage

_log = logging.getLogger("finetune_trainer")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line."""

    stage: Stage
    plan: Path
    workspace: Path | None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(int(ExitCode.BAD_CONFIGURATION), f"{self.prog}: {message}\n")


def parse_arguments(arguments: Sequence[str] | None) -> Arguments:
    """Parse the command line; wrong usage ends the process with 64."""
    parser = _Parser(prog="finetune-trainer", description="Run one stage of a fine-tuning job.")
    parser.add_argument("stage", choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--plan", type=Path, required=True, help="plan.json of this stage")
    parser.add_argument("--workspace", type=Path, help="use this folder instead of the plan's")
    parser.add_argument("--version", action="version", version=version("finetune-operator"))
    parsed = parser.parse_args(arguments)
    return Arguments(parsed.stage, parsed.plan, parsed.workspace)


def load_plan(path: Path, stage: Stage) -> Plan:
    """Read the plan of `stage`.

    Raises:
        BadConfiguration: if it cannot be read, is not a plan, or is that of another stage.
    """
    remedy = "Plans are written by the operator and by finetune run; run that again."
    try:
        plan = Plan.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfiguration("BadPlan", f"{path}: {error.strerror}", remedy) from error
    except UnicodeDecodeError as error:
        raise BadConfiguration("BadPlan", f"{path}: not UTF-8 text", remedy) from error
    except ValidationError as error:
        raise BadConfiguration("BadPlan", f"{path}: {join_problems(problems_of(error))}", remedy) from error
    if plan.stage != stage:
        raise BadConfiguration("BadPlan", f"{path}: a plan for stage {plan.stage}, not for {stage}", remedy)
    if problems := refusals(plan.spec):
        raise BadConfiguration(problems[0].reason, join_problems(problems), "Change the job, or use a newer trainer.")
    return plan


def open_workspace(path: Path) -> Path:
    """The workspace folder, which has to be there or creatable, and writable.

    Raises:
        BadConfiguration: NotWritable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfiguration(
            "NotWritable", f"workspace {path}: {error.strerror}", "Give a folder that can be written."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadConfiguration(
            "NotWritable", f"workspace {path}: no permission to write", "Give a folder that can be written."
        )
    return path.resolve()


def adopted_result(plan: Plan, workspace: Path, table: StageTable) -> StageResult | str | None:
    """The result of work that is done already, by an earlier run or by the parent; else why the parent's is none."""
    own = finished_result(plan, workspace, table)
    found = own or reused_result(plan, workspace, table)
    if isinstance(found, StageResult):
        if own is None and node_rank() == 0:
            write_report(workspace, plan, found)
        found = look_ahead(plan, workspace, table, found)
    return found


def main(arguments: Sequence[str] | None = None, table: StageTable = PIPELINE) -> int:
    """Run a stage and return the exit code of the contract. `table` is for tests of the pod itself."""
    started = time.monotonic()
    started_at = datetime.now(UTC)
    set_defaults()
    set_up_logs()
    threading.excepthook = _log_thread_error
    parsed = parse_arguments(arguments)
    attempt = 1
    try:
        plan = load_plan(parsed.plan, parsed.stage)
        attempt = plan.attempt
        if plan.spec.parallelism.precision != "BF16":
            keep_freed_memory()
        require_stage(plan.stage, table)
        share_cores(plan.nodes, plan.processes_per_node)
        workspace = open_workspace(parsed.workspace or Path(plan.workspace))
        found = adopted_result(plan, workspace, table)
        done = found if isinstance(found, StageResult) else None
        if done is not None and not (done.artifact and lacks_matches(plan, workspace, done.artifact, table)):
            result = done
            _log.info("%s is done already: %s", plan.stage, result.message or result.artifact or "")
        else:
            if done is not None and done.artifact is not None:
                _log.info("%s is done already, but for fuzzy matches: %s", plan.stage, done.message)
                plan = plan.model_copy(update={"inputs": {plan.stage: done.artifact}})
            elif found is not None:
                _log.info("%s runs anew: %s", plan.stage, found)
            assignment = Assignment(plan, workspace, table, started)
            if "RANK" in os.environ:
                # Somebody else's torchrun has started us as one of its workers.
                run_rank(assignment)
                return int(ExitCode.DONE)
            result = run_pod(assignment)
            if done is not None and result.exit_code == ExitCode.DONE:
                result = _with_matches(done, result)
                write_report(workspace, plan, result)
            elif isinstance(found, str) and plan.later is not None:
                result = result.model_copy(update={"runs_anew": {plan.stage: found}})
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user
        failure = explain(error)
        _log.error("%s: %s %s", failure.reason, failure.message, failure.remedy)
        result = failed_result(parsed.stage, attempt, failure, started_at)
    leave_result(result)
    sys.stdout.flush()
    return result.exit_code


def _with_matches(done: StageResult, matched: StageResult) -> StageResult:
    """The result of data that were made before, and of the fuzzy matches that were found for them now."""
    update = {
        "summary": done.summary | matched.summary,
        "message": f"{done.message} · fuzzy matches found anew"[:512],
        "productive_seconds": matched.productive_seconds,
        "started_at": matched.started_at,
        "completed_at": matched.completed_at,
    }
    return done.model_copy(update=update)


def _log_thread_error(hook: threading.ExceptHookArgs) -> None:
    name = hook.thread.name if hook.thread else "?"
    _log.warning("thread %s ended: %s: %s", name, hook.exc_type.__name__, hook.exc_value)


if __name__ == "__main__":
    sys.exit(main())
