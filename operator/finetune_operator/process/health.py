"""/healthz, /readyz and /metrics of the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

Check = Callable[[], str]
"""What is wrong; empty if nothing is."""
Expose = Callable[[str], tuple[str, bytes]]
"""Content type and body of the metrics for a header Accept."""


class HealthServer:
    """Answers probes and scrapes.

    Args:
        host: address to listen on.
        port: port to listen on; 0: any, see `port`.
        healthy: a process for which this returns a text should be killed.
        ready: a process for which this returns a text does not serve yet.
        expose: metrics; it is called in a thread.
    """

    def __init__(self, host: str, port: int, healthy: Check, ready: Check, expose: Expose) -> None:
        self._host = host
        self.port = port
        self._expose = expose
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", lambda _: _answer(healthy())),
                web.get("/readyz", lambda _: _answer(ready())),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: if the port is taken.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        content_type, body = await asyncio.to_thread(self._expose, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


async def _answer(problem: str) -> web.Response:
    return web.Response(text=(problem or "ok") + "\n", status=503 if problem else 200)
