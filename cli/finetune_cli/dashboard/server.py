"""The server of `finetune dashboard`: reads the folder of a run at each request, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.progress import HistoryRow, read_history
from finetune_api.stages import model_stages
from finetune_cli.dashboard.page import render
from finetune_cli.workspace import JOB_FILE
from finetune_operator.cluster.local.local_cluster import OBJECTS
from finetune_operator.cluster.workspace_lock import STATE_FOLDER
from finetune_operator.metrics.exposition import expose

HOST = "127.0.0.1"
OWN_NAMES = ("127.0.0.1", "localhost")
REPORT = Path("reports") / "report.html"
PODS = Path(STATE_FOLDER) / OBJECTS / "Pod"


def application(workspace: Path) -> web.Application:
    """Pages about the run in `workspace`."""
    app = web.Application(middlewares=[_own_names_only])

    async def page(_: web.Request) -> web.Response:
        value = read_object(workspace)
        if value is None:
            return web.Response(text="The run is being started. Load this page again in a moment.\n", status=503)
        text = render(
            FineTuneJob.from_json_object(value),
            read_histories(workspace),
            datetime.now(UTC),
            has_report=(workspace / REPORT).exists(),
        )
        return web.Response(text=text, content_type="text/html")

    async def report(_: web.Request) -> web.Response:
        try:
            return web.Response(text=(workspace / REPORT).read_text(encoding="utf-8"), content_type="text/html")
        except FileNotFoundError:
            return web.Response(text="No report yet.\n", status=404)

    async def job(_: web.Request) -> web.Response:
        return web.json_response(read_object(workspace) or {})

    async def metrics(request: web.Request) -> web.Response:
        jobs = filter(None, [read_object(workspace)])
        content_type, body = expose(CollectorRegistry(), jobs, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def targets(_: web.Request) -> web.Response:
        return web.json_response(running_pods(workspace))

    app.add_routes(
        [
            web.get("/", page),
            web.get("/report", report),
            web.get("/job.json", job),
            web.get("/metrics", metrics),
            web.get("/targets", targets),
        ]
    )
    return app


@web.middleware
async def _own_names_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A page elsewhere whose name was made to point here gets nothing."""
    if (request.url.host or "") not in OWN_NAMES:
        return web.Response(text=f"Ask for {HOST} by its own name.\n", status=421)
    return await handler(request)


def read_object(workspace: Path) -> Object | None:
    """The job as `kubectl get -o json` would show it, if there is one."""
    try:
        value: Object = json.loads((workspace / JOB_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value


def read_histories(workspace: Path) -> dict[str, list[HistoryRow]]:
    """Rows by stage, in the order of the stages; a line that is being written is left out."""
    histories: dict[str, list[HistoryRow]] = {}
    for stage in model_stages():
        path = workspace / "logs" / f"{stage}-history.jsonl"
        if not path.exists():
            continue
        histories[stage] = read_history(path)
    return histories


def running_pods(workspace: Path) -> list[Object]:
    """Where the pods that run serve their metrics, as Prometheus' HTTP discovery takes it."""
    found = []
    for path in sorted((workspace / PODS).glob("*/*.json")):
        try:
            pod = json.loads(path.read_bytes())["object"]
        except (OSError, ValueError):
            continue  # it is being replaced
        status, metadata = pod.get("status", {}), pod["metadata"]
        if status.get("phase") == "Running" and status.get("podIP"):
            about = {"namespace": metadata["namespace"], "pod": metadata["name"]}
            found.append({"targets": [f"{status['podIP']}:{labels.PROGRESS_PORT}"], "labels": about})
    return found
