"""A run that no process runs any more: who stopped it, when, and the command that goes on."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.status import FineTuneJobStatus
from finetune_cli.workspace import JOB_FILE, newest_checkpoint_step
from finetune_operator.cluster.workspace_lock import is_workspace_in_use


def is_stopped(job: FineTuneJob, workspace: Path) -> bool:
    """Whether a job has begun, has not ended, and nothing works on it."""
    status = job.status
    return status is not None and status.completion_time is None and not is_workspace_in_use(workspace)


def last_sign_of_life(workspace: Path) -> datetime:
    """When the run last wrote something."""
    files = [workspace / JOB_FILE, *(workspace / "logs").glob("*")]
    return datetime.fromtimestamp(max(file.stat().st_mtime for file in files if file.exists()), UTC)


def as_stopped(job: FineTuneJob) -> FineTuneJob:
    """What a stopped job's status should say: its last writer could not know that it was the last one."""
    status = job.status or FineTuneJobStatus()
    stages = [s.model_copy(update={"state": "Suspended"}) if s.state == "Running" else s for s in status.stages]
    return job.model_copy(update={"status": status.model_copy(update={"state": "Suspended", "stages": stages})})


def stopped_lines(job: FineTuneJob, workspace: Path) -> list[str]:
    """Who, when, what is kept, and how to go on."""
    status = job.status or FineTuneJobStatus()
    by = "by Ctrl-C or SIGTERM" if job.spec.suspend else "because its process ended"
    step = newest_checkpoint_step(workspace, status.current_stage) if status.current_stage else None
    kept = f"the checkpoint of step {step:,} of {status.current_stage}" if step is not None else "finished stages"
    manifest = job.metadata.annotations.get(labels.MANIFEST, "MANIFEST")
    shared = job.spec.workspace.path if job.folder is not None and job.spec.workspace is not None else None
    return [
        f"Stopped {by} at {last_sign_of_life(workspace):%Y-%m-%d %H:%M:%S} UTC; kept: {kept}.",
        f"Go on with: finetune run {shlex.quote(manifest)} --workspace {shlex.quote(shared or str(workspace))}",
    ]


def print_stopped(console: Console, lines: list[str]) -> None:
    """Print what `stopped_lines` returned."""
    for line in lines:
        console.print(Text(line, style="yellow"), soft_wrap=True)
