"""`finetune logs`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from finetune_cli.commands.options import REFRESH_SECONDS, NameArgument, WorkspaceOption
from finetune_cli.log_tail import LogTail
from finetune_cli.refusal import refuse
from finetune_cli.workspace import find_workspace, read_job


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
    from finetune_cli.stopped import is_stopped

    job = read_job(folder)
    return (job.status is not None and job.status.completion_time is not None) or is_stopped(job, folder)
