"""`finetune dashboard`: the server of a run on a port of loopback, until Ctrl-C."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from finetune_cli.dashboard.server import HOST, application
from finetune_cli.refusal import refuse


def serve(folder: Path, port: int) -> None:
    """Serve the run of a workspace, or refuse plainly if the port cannot be used."""
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
