"""Pulling progress from something that may be absent, slow, huge or broken."""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from finetune_api import labels
from finetune_api.progress import Progress
from finetune_api.status import ProgressStatus
from finetune_operator.progress import HttpProgressSource

GOOD = Progress(
    stage="adapt", attempt=1, phase="Training", progress=ProgressStatus(step=7), time=datetime(2026, 1, 1, tzinfo=UTC)
)


@contextmanager
def server(answer: Callable[[Any], None]) -> Iterator[int]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield listening.server_address[1]
        listening.shutdown()
        thread.join()


def pod(index: str = "0") -> dict[str, Any]:
    return {"metadata": {"labels": {labels.JOB_COMPLETION_INDEX: index}}, "status": {"podIP": "127.0.0.1"}}


def read(port: int, *pods: dict[str, Any]) -> Progress | None:
    return asyncio.run(HttpProgressSource(port, timeout_seconds=0.5).read(pods or (pod(),)))


def http(body: bytes, status: str = "200 OK") -> Callable[[Any], None]:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    return lambda connection: connection.sendall(head + body)


def test_progress_of_rank_0() -> None:
    with server(http(GOOD.model_dump_json(by_alias=True).encode())) as port:
        assert read(port, pod("1"), pod("0")) == GOOD


def test_nobody_but_rank_0_is_asked() -> None:
    with server(http(GOOD.model_dump_json(by_alias=True).encode())) as port:
        assert read(port, pod("1")) is None


@pytest.mark.parametrize(
    "answer",
    [
        http(b"not json"),
        http(b'{"stage": "cook"}'),
        http(b"\xff\xfe"),
        http(b"x" * 100_000),
        http(b"{}", "503 Service Unavailable"),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
        lambda _: None,
    ],
    ids=["text", "other json", "bytes", "too much", "503", "not http", "nothing"],
)
def test_garbage_is_no_progress(answer: Callable[[Any], None]) -> None:
    with server(answer) as port:
        assert read(port) is None


def test_absence_is_no_progress() -> None:
    assert read(1) is None


def assert_waited(release: threading.Event) -> None:
    assert release.wait(5)


def test_silence_is_no_progress() -> None:
    release = threading.Event()
    with server(lambda _: assert_waited(release)) as port:
        try:
            assert read(port) is None
        finally:
            release.set()
