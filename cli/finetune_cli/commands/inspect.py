"""Commands that only read a workspace: status, logs, report, version."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finetune_api.base import API_VERSION
from finetune_api.exit_codes import CliExitCode
from finetune_api.job import FineTuneJob
from finetune_cli.log_tail import LogTail
from finetune_cli.refusal import refuse
from finetune_cli.score_table import score_table
from finetune_cli.view import job_view
from finetune_cli.workspace import find_workspace, read_job

NameArgument = Annotated[str | None, typer.Argument(help="Name of the job; default: the newest run.")]
WorkspaceOption = Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<name>.")]
REFRESH_SECONDS = 1.0
CONDITION_STYLES = {"True": "green", "False": "red", "Unknown": "dim"}


class Output(StrEnum):
    """How a job is printed."""

    text = "text"
    json = "json"


class ReportFormat(StrEnum):
    """Which of the report's files."""

    md = "md"
    json = "json"
    html = "html"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for machines.")]


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


def logs(
    name: NameArgument = None,
    workspace: WorkspaceOption = None,
    stage: Annotated[str | None, typer.Option(help="Only pods of this stage.")] = None,
    rank: Annotated[int | None, typer.Option(help="Only the pod of this index.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
) -> None:
    """What the pods printed, each line with the pod it comes from."""
    folder = find_workspace(name, workspace)
    tail = LogTail(folder / "logs", stage, rank)
    lines = list(tail.new_lines())
    if not lines and not follow:
        refuse([f"no log matches in {folder / 'logs'}"])
    while True:
        for line in lines:
            print(line, flush=True)
        if not follow or _is_finished(folder):
            return
        time.sleep(REFRESH_SECONDS)
        lines = list(tail.new_lines())


def _is_finished(folder: Path) -> bool:
    status = read_job(folder).status
    return status is not None and status.completion_time is not None


def report(
    name: NameArgument = None,
    workspace: WorkspaceOption = None,
    format_: Annotated[
        ReportFormat, typer.Option("--format", help="md and json are printed; of html, the path.")
    ] = ReportFormat.md,
) -> None:
    """The evaluation report of a run."""
    path = find_workspace(name, workspace) / "reports" / f"report.{format_.value}"
    if not path.exists():
        refuse([f"no report yet: {path} does not exist. finetune status tells where the run is."])
    if format_ is ReportFormat.html:
        print(path)
    else:
        sys.stdout.write(path.read_text(encoding="utf-8"))


def version() -> None:
    """Versions of finetune, of its API and of the libraries that train."""
    print(f"finetune {_installed('finetune-operator')}  API {API_VERSION}")
    for package in ("torch", "transformers", "peft", "deepspeed", "datasets", "sacrebleu"):
        print(f"{package} {_installed(package)}")


def _installed(package: str) -> str:
    try:
        return package_version(package)
    except PackageNotFoundError:
        return "not installed"
