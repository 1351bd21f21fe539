"""A small HTTP server for /progress, /metrics and /healthz."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from prometheus_client import disable_created_metrics

from finetune_api import labels
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.observe.progress import ProgressReporter

MAX_CONNECTIONS = 16
REQUEST_SECONDS = 5.0

Page = Callable[[str], tuple[str, bytes] | None]
"""Gives content type and body for a header Accept, or None if there is nothing to show."""


class ProgressServer(ThreadingHTTPServer):
    """Serves pages by path, each connection on a daemon thread, at most MAX_CONNECTIONS at a time."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], pages: dict[str, Page], actions: dict[str, Callable[[], None]] | None = None
    ) -> None:
        """Bind to `address` (port 0: any free one), serve `pages` at once, and do `actions` when they are posted to.

        Raises:
            BadConfiguration: PortTaken.
        """
        self.pages = pages
        self.actions = actions or {}
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            host, port = address
            raise BadConfiguration(
                "PortTaken",
                f"cannot serve progress on {host}:{port}: {error.strerror}",
                "End the process that uses the port, or give another one with FINETUNE_PROGRESS_PORT.",
            ) from error
        threading.Thread(target=self.serve_forever, args=(0.1,), name="progress-server", daemon=True).start()

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Start a thread if a slot is free; otherwise close the connection."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Serve, then free the slot."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is its own affair."""

    def close(self) -> None:
        """Stop serving and free the port."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server_version = "finetune-trainer"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page."""
        assert isinstance(self.server, ProgressServer)  # noqa: S101 - narrows the type; nothing else serves it
        page = self.server.pages.get(self.path.partition("?")[0])
        shown = page(self.headers.get("Accept", "")) if page is not None else None
        if shown is None:
            self.send_error(404)
            return
        content_type, body = shown
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Do an action."""
        assert isinstance(self.server, ProgressServer)  # noqa: S101 - as above
        action = self.server.actions.get(self.path)
        if action is None:
            self.send_error(404)
            return
        action()
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Requests are not worth a line."""


def serve(reporter: ProgressReporter, host: str, port: int, *, is_main: bool) -> ProgressServer:
    """Serve /metrics and /healthz, and on rank 0 /progress and, while it is published, /report.

    Raises:
        BadConfiguration: PortTaken.
    """
    disable_created_metrics()  # one more series for each counter, which nobody asks for
    pages: dict[str, Page] = {
        "/metrics": reporter.metrics.expose,
        "/healthz": lambda _: ("text/plain", b"ok\n"),
    }
    if is_main:
        pages["/progress"] = lambda _: (
            "application/json",
            reporter.snapshot().model_dump_json(by_alias=True, exclude_none=True).encode(),
        )
        pages[labels.REPORT_PATH] = lambda _: ("application/json", reporter.report) if reporter.report else None
    actions = {labels.REPORT_PUBLISHED_PATH: reporter.mark_published} if is_main else {}
    return ProgressServer((host, port), pages, actions)
