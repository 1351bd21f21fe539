"""Fetching the full report from rank 0 of evaluate while it offers it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import aiohttp
from pydantic import ValidationError

from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.report import EvaluationReport
from finetune_operator.progress.http import TIMEOUT_SECONDS, fetch, find_rank_0, new_session, url_of


class HttpReportSource:
    """Reads from the pod with index 0, at the address that the cluster observed for it."""

    def __init__(self, port: int = labels.PROGRESS_PORT, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """`port` is the one that the pod template gives to the trainer."""
        self._port = port
        self._timeout = timeout_seconds

    async def read(self, pods: Sequence[Object]) -> str | None:
        """The report as JSON; None if there is none now, or something else."""
        rank_0 = find_rank_0(pods)
        if rank_0 is None:
            return None
        async with new_session(self._timeout) as session:
            url = url_of(rank_0["status"]["podIP"], self._port, labels.REPORT_PATH)
            body = await fetch(session, url, labels.REPORT_MAX_BYTES)
        return parse_report(body) if body is not None else None

    async def confirm(self, pods: Sequence[Object]) -> None:
        """Report to rank 0 that it is published; where that does not arrive, rank 0 ends a little later by itself."""
        rank_0 = find_rank_0(pods)
        if rank_0 is None:
            return
        async with new_session(self._timeout) as session:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                url = url_of(rank_0["status"]["podIP"], self._port, labels.REPORT_PUBLISHED_PATH)
                async with session.post(url, allow_redirects=False):
                    pass


def parse_report(body: bytes) -> str | None:
    """The text of an answer as it is, if it is a report."""
    try:
        EvaluationReport.model_validate_json(body)
    except ValidationError:
        return None
    return body.decode()
