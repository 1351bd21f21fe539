"""Commands that only read a workspace: status, logs, report, version."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from finetune_cli.commands.options import NameArgument, Output, OutputOption, WorkspaceOption
from finetune_cli.log_tail import LogTail
from finetune_cli.refusal import refuse
from finetune_cli.workspace import find_workspace, read_job

REFRESH_SECONDS = 1.0


class ReportFormat(StrEnum):
    """Which of the report's files."""

    md = "md"
    json = "json"
    html = "html"


def status(
    name: NameArgument = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = Output.text,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw until the job ends.")] = False,
) -> None:
    """Stages, conditions and scores of a run; exit code 1 if it failed."""
    from finetune_cli.status import show_status

    code = show_status(find_workspace(name, workspace), as_json=output is Output.json, watch=watch)
    raise typer.Exit(int(code))


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
    from finetune_cli.versions import lines

    for line in lines():
        print(line)
