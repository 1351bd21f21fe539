"""`finetune dashboard`."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune_cli.commands.options import NameArgument, WorkspaceOption
from finetune_cli.workspace import find_workspace, read_job


def dashboard(
    name: NameArgument = None,
    workspace: WorkspaceOption = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any free one.", min=0, max=65535)] = 9500,
) -> None:
    """A page with the curves of a run, while it runs and after it, until Ctrl-C. Only this machine reaches it.

    Prometheus may scrape /metrics, and find the pods that run by HTTP discovery at /targets.
    """
    from finetune_cli.dashboard.listen import serve

    folder = find_workspace(name, workspace)
    read_job(folder)
    serve(folder, port)
