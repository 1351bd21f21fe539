"""`finetune status`."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finetune_api.exit_codes import CliExitCode
from finetune_api.job import FineTuneJob
from finetune_cli.commands.options import REFRESH_SECONDS, NameArgument, Output, OutputOption, WorkspaceOption
from finetune_cli.score_table import score_table
from finetune_cli.view import job_view
from finetune_cli.workspace import find_workspace, read_job

CONDITION_STYLES = {"True": "green", "False": "red", "Unknown": "dim"}


def exit_code_of(job: FineTuneJob) -> CliExitCode:
    """1 if the job failed, else 0."""
    failed = job.status is not None and job.status.state == "Failed"
    return CliExitCode.FAILED if failed else CliExitCode.SUCCEEDED


def status(
    name: NameArgument = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = Output.text,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw until the job ends.")] = False,
) -> None:
    """Stages, conditions and scores of a run; exit code 1 if it failed."""
    folder = find_workspace(name, workspace)
    job = read_job(folder)
    console = Console()
    if watch:
        with Live(job_view(job, datetime.now(UTC)), console=console) as live:
            while job.status is None or job.status.completion_time is None:
                time.sleep(REFRESH_SECONDS)
                job = read_job(folder)
                live.update(job_view(job, datetime.now(UTC)))
    elif output is Output.json:
        sys.stdout.write((folder / "job.json").read_text(encoding="utf-8"))
    else:
        console.print(job_view(job, datetime.now(UTC)))
        console.print(_conditions(job))
        if job.status and job.status.evaluation:
            console.print(score_table(job.status.evaluation))
            console.print(job.status.evaluation.verdict)
    raise typer.Exit(int(exit_code_of(job)))


def _conditions(job: FineTuneJob) -> Table:
    table = Table.grid(padding=(0, 2))
    for condition in job.status.conditions if job.status else ():
        style = CONDITION_STYLES[condition.status]
        table.add_row(condition.type, Text(condition.status, style=style), condition.reason, condition.message)
    return table
