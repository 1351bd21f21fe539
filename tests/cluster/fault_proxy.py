"""Stands between the operator and the API server, passes everything on, and breaks what a test asks it to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

BLOCK = 65536


@dataclass
class Faults:
    """What goes wrong, from now on."""

    cut_watches_after_seconds: float | None = None
    watch_status: int | None = None
    """Answer to watches instead of a stream."""
    write_status: int | None = None
    """Answer to writes, which then do not happen."""
    all_status: int | None = None
    """Answer to everything."""
    retry_after: int | None = None
    """Sent along with such an answer."""
    on_write: Callable[[str], None] = field(default=lambda _: None)
    """Called with `VERB path` after each write was carried out and before its answer is passed on."""


class FaultProxy:
    """A reverse proxy in a thread of its own.

    Args:
        upstream: URL of the API server.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.faults = Faults()
        self.writes: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.url = ""

    def start(self) -> None:
        """Listen on a free port of loopback."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    def stop(self) -> None:
        """Drop all connections."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=False, limit=0))
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        faults = self.faults
        is_watch, is_write = request.query.get("watch") == "true", request.method != "GET"
        status = faults.all_status or (faults.watch_status if is_watch else faults.write_status if is_write else None)
        if status is not None:
            return self._refuse(status, faults.retry_after)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "accept-encoding")}
        async with self._session.request(
            request.method,
            self._upstream + request.raw_path,
            headers=headers,
            data=await request.read() or None,
            skip_auto_headers=("User-Agent", "Content-Type"),
        ) as answer:
            if is_watch:
                return await self._stream(request, answer)
            body = await answer.read()
            if is_write and "/leases" not in request.path:
                self.writes.append(f"{request.method} {request.path}")
                faults.on_write(self.writes[-1])
            kept = {k: v for k, v in answer.headers.items() if k in ("Content-Type", "Retry-After")}
            return web.Response(status=answer.status, body=body, headers=kept)

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with suppress(TimeoutError, ConnectionError, aiohttp.ClientError):
            async with asyncio.timeout(self.faults.cut_watches_after_seconds):
                async for block in answer.content.iter_any():
                    await response.write(block)
        if request.transport is not None:
            request.transport.abort()
        return response

    @staticmethod
    def _refuse(status: int, retry_after: int | None) -> web.Response:
        message = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": "a fault"}
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
        return web.json_response(message, status=status, headers=headers)
