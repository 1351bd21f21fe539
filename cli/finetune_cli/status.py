"""`finetune status`: the state of a run on the screen."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finetune_api.exit_codes import CliExitCode
from finetune_api.job import FineTuneJob
from finetune_cli.commands.options import REFRESH_SECONDS
from finetune_cli.output import write_json
from finetune_cli.score_table import score_table
from finetune_cli.stopped import as_stopped, is_stopped, print_stopped, stopped_lines
from finetune_cli.view import job_view
from finetune_cli.workspace import read_job

CONDITION_STYLES = {"True": "green", "False": "red", "Unknown": "dim"}


def show_status(folder: Path, *, as_json: bool, watch: bool) -> CliExitCode:
    """Print the job of a workspace, `watch` until it ends; 1 if it failed, else 0."""
    job, stopped = _look(folder)
    console = Console()
    if watch:
        with Live(job_view(job, datetime.now(UTC)), console=console) as live:
            while not stopped and (job.status is None or job.status.completion_time is None):
                time.sleep(REFRESH_SECONDS)
                job, stopped = _look(folder)
                live.update(job_view(job, datetime.now(UTC)))
        print_stopped(console, stopped)
    elif as_json:
        write_json(job.to_json_object())
    else:
        console.print(job_view(job, datetime.now(UTC)))
        print_stopped(console, stopped)
        console.print(_conditions(job))
        if job.status and job.status.evaluation:
            console.print(score_table(job.status.evaluation))
            console.print(job.status.evaluation.verdict)
    failed = job.status is not None and job.status.state == "Failed"
    return CliExitCode.FAILED if failed else CliExitCode.SUCCEEDED


def _look(folder: Path) -> tuple[FineTuneJob, list[str]]:
    """The job, and lines about who stopped it, if somebody did."""
    job = read_job(folder)
    return (as_stopped(job), stopped_lines(job, folder)) if is_stopped(job, folder) else (job, [])


def _conditions(job: FineTuneJob) -> Table:
    table = Table.grid(padding=(0, 2))
    for condition in job.status.conditions if job.status else ():
        style = CONDITION_STYLES[condition.status]
        table.add_row(condition.type, Text(condition.status, style=style), condition.reason, condition.message)
    return table
