"""Pulling progress from something that may be absent, slow, huge or broken."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.status import ProgressStatus
from finetune_operator.progress import HttpProgressSource, HttpReportSource

GOOD = Progress(
    stage="adapt", attempt=1, phase="Training", progress=ProgressStatus(step=7), time=datetime(2026, 1, 1, tzinfo=UTC)
)

MODEL = {"name": "adapted", "path": "models/adapt", "parameters": 1}
REPORT = {
    "job": "ui-en-es",
    "createdAt": "2026-01-01T00:00:00Z",
    "verdict": "It is better.",
    "model": MODEL,
    "baseline": MODEL | {"name": "base"},
    "tasks": [],
}


@contextmanager
def server(answer: Callable[[Any], None]) -> Iterator[int]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


def pod(index: str = "0") -> Object:
    return {"metadata": {"labels": {labels.JOB_COMPLETION_INDEX: index}}, "status": {"podIP": "127.0.0.1"}}


def read(port: int, *pods: Object) -> Progress | None:
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
        http(GOOD.model_dump_json(by_alias=True).replace('"loss":null', '"loss":NaN', 1).encode()),
        http(b"\xff\xfe"),
        http(b"x" * 100_000),
        http(b"{}", "503 Service Unavailable"),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
        lambda _: None,
    ],
    ids=["text", "other json", "no number", "bytes", "too much", "503", "not http", "nothing"],
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


def read_report(port: int) -> str | None:
    return asyncio.run(HttpReportSource(port, timeout_seconds=0.5).read((pod(),)))


def test_a_report_comes_as_it_was_written() -> None:
    text = json.dumps(REPORT, indent=2)
    with server(http(text.encode())) as port:
        assert read_report(port) == text


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xfe", b"[" * 100, b" " * (labels.REPORT_MAX_BYTES + 1)])
def test_what_is_no_report_is_none(body: bytes) -> None:
    with server(http(body)) as port:
        assert read_report(port) is None


def test_confirming_reaches_rank_0_and_absence_is_no_error() -> None:
    asked: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.request.recv(4096).partition(b"\r\n")[0])
            self.request.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.handle_request)
        thread.start()
        port = listening.server_address[1]
        asyncio.run(HttpReportSource(port, timeout_seconds=5).confirm((pod("1"), pod("0"))))
        thread.join()
    assert asked == [b"POST /report/published HTTP/1.1"]
    asyncio.run(HttpReportSource(port, timeout_seconds=0.5).confirm((pod(),)))
