"""`finetune dashboard`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from aiohttp import web

from finetune_cli.commands.options import NameArgument, WorkspaceOption
from finetune_cli.dashboard.server import HOST, application
from finetune_cli.refusal import refuse
from finetune_cli.workspace import find_workspace, read_job


def dashboard(
    name: NameArgument = None,
    workspace: WorkspaceOption = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any free one.", min=0, max=65535)] = 9500,
) -> None:
    """A page with the curves of a run, while it runs and after it, until Ctrl-C. Only this machine reaches it.

    Prometheus may scrape /metrics, and find the pods that run by HTTP discovery at /targets.
    """
    folder = find_workspace(name, workspace)
    read_job(folder)
    try:
        asyncio.run(_serve(folder, port))
    except OSError as error:
        refuse([f"port {port} of {HOST} cannot be used: {error.strerror}. Give another with --port."])


async def _serve(folder: Path, port: int) -> None:
    runner = web.AppRunner(application(folder), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        print(f"http://{HOST}:{runner.addresses[0][1]}/  (Ctrl-C ends it)", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
