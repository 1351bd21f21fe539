"""`GET /progress`, bounded in time and size; absence and garbage are no progress, never an error."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus

import aiohttp
from pydantic import ValidationError

from finetune_api import labels
from finetune_api.base import is_finite
from finetune_api.objects import Object
from finetune_api.progress import Progress

MAX_BYTES = 64 * 1024
TIMEOUT_SECONDS = 2.0


class HttpProgressSource:
    """Reads from the pod with index 0, at the address that the cluster observed for it."""

    def __init__(self, port: int = labels.PROGRESS_PORT, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """`port` is the one that the pod template gives to the trainer."""
        self._port = port
        self._timeout = timeout_seconds

    async def read(self, pods: Sequence[Object]) -> Progress | None:
        """The answer of rank 0's pod, or None."""
        rank_0 = find_rank_0(pods)
        if rank_0 is None:
            return None
        async with new_session(self._timeout) as session:
            return await fetch_progress(session, rank_0["status"]["podIP"], self._port)


def find_rank_0(pods: Sequence[Object]) -> Object | None:
    """The pod with index 0, if the cluster has observed an address of it."""
    for pod in pods:
        if (
            pod.get("status", {}).get("podIP")
            and pod["metadata"].get("labels", {}).get(labels.JOB_COMPLETION_INDEX) == "0"
        ):
            return pod
    return None


def new_session(timeout_seconds: float) -> aiohttp.ClientSession:
    """For `fetch`; nobody's proxy comes in between, and no answer may take longer."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds), trust_env=False)


async def fetch_progress(session: aiohttp.ClientSession, address: str, port: int) -> Progress | None:
    """The answer to `GET /progress`, or None if there is none, none in time, too much of it, or another one."""
    body = await fetch(session, url_of(address, port, "/progress"), MAX_BYTES)
    return parse(body) if body is not None else None


def url_of(address: str, port: int, path: str) -> str:
    """Of a page of a pod."""
    return f"http://{f'[{address}]' if ':' in address else address}:{port}{path}"


async def fetch(session: aiohttp.ClientSession, url: str, limit: int) -> bytes | None:
    """The body of a good answer of at most `limit` bytes, else None."""
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with session.get(url, allow_redirects=False) as response:
            body = await response.content.read(limit + 1)
            while len(body) <= limit and (more := await response.content.read(limit + 1)):
                body += more
            return body if response.status == HTTPStatus.OK and len(body) <= limit else None
    return None


def parse(body: bytes) -> Progress | None:
    """The progress in an answer, or None if it is something else."""
    try:
        progress = Progress.model_validate_json(body)
    except (ValidationError, ValueError):
        return None
    return progress if is_finite(progress.model_dump(mode="json")) else None
