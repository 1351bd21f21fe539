"""`finetune status`."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune_cli.commands.options import NameArgument, Output, OutputOption, WorkspaceOption
from finetune_cli.workspace import find_workspace


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
