"""`GET /progress`, bounded in time and size; absence and garbage are no progress, never an error."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from finetune_api import labels
from finetune_api.progress import Progress

Object = dict[str, Any]
MAX_BYTES = 64 * 1024
TIMEOUT_SECONDS = 2.0


class HttpProgressSource:
    """Asks the pod with index 0, at the address that the cluster observed for it."""

    def __init__(self, port: int = labels.PROGRESS_PORT, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """`port` is the one that the pod template gives to the trainer."""
        self._port = port
        self._timeout = timeout_seconds

    async def read(self, pods: Sequence[Object]) -> Progress | None:
        """The answer of rank 0's pod, or None."""
        for pod in pods:
            address = pod.get("status", {}).get("podIP")
            if address and pod["metadata"].get("labels", {}).get(labels.JOB_COMPLETION_INDEX) == "0":
                return await self._ask(address)
        return None

    async def _ask(self, address: str) -> Progress | None:
        try:
            async with asyncio.timeout(self._timeout):
                body = await asyncio.to_thread(fetch, address, self._port, self._timeout)
        except TimeoutError:
            return None
        return parse(body) if body is not None else None


def fetch(address: str, port: int, timeout_seconds: float) -> bytes | None:
    """The body of `GET /progress`, or None if there is none, none in time, or too much of it."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/progress")
        response = connection.getresponse()
        body = response.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if response.status == http.HTTPStatus.OK and len(body) <= MAX_BYTES else None


def parse(body: bytes) -> Progress | None:
    """The progress in an answer, or None if it is something else."""
    try:
        return Progress.model_validate_json(body)
    except (ValidationError, ValueError):
        return None
