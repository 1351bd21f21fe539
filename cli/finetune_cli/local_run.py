"""Running a job on the embedded cluster until it ends or is stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

from finetune_api.exit_codes import CliExitCode
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.status import FineTuneJobStatus
from finetune_cli.display import Display
from finetune_cli.freshness import what_changed
from finetune_cli.refusal import refuse
from finetune_cli.stopped import last_sign_of_life
from finetune_cli.workspace import EVENTS_FILE, JOB_FILE, write_json_atomically
from finetune_operator.cluster.interface import (
    ClusterError,
    ConflictError,
    InvalidObjectError,
    NotFoundError,
    Reference,
)
from finetune_operator.cluster.local import LocalCluster
from finetune_operator.control.controller import Controller
from finetune_operator.control.watch_loop import run_on_watches
from finetune_operator.progress import HttpProgressSource
from finetune_operator.reconcile import LOCAL_SETTINGS

NAMESPACE = "default"
REFRESH_SECONDS = 0.25
STOP_VISITS = 20
"""At most; one is enough, unless something changes meanwhile."""


async def run_local(job: Object, workspace: Path, folder: Path, display: Display) -> tuple[Object, CliExitCode]:
    """Run `job` in `workspace`, its own files in `folder`; returns the object as stored at the end, and the exit code.

    The first SIGINT or SIGTERM suspends the job, which saves a checkpoint; the second stops at once.
    """
    try:
        async with LocalCluster(folder) as cluster:
            reference = await _submit(cluster, job, workspace, folder)
            with display:
                return await _run_until_end(cluster, reference, folder, display)
    except ClusterError as error:
        refuse([error])


async def _submit(cluster: LocalCluster, job: Object, workspace: Path, folder: Path) -> Reference:
    """Store the job: new, resumed, or anew if the last run failed or something changed since."""
    for other in await cluster.list("FineTuneJob", None):
        if other["metadata"]["name"] != job["metadata"]["name"]:
            name = other["metadata"]["name"]
            reuse = f"reuse its stages with lineage: {{parent: {name}}}"
            refuse([f"{folder} is used by job {name}: give another folder with --workspace, or {reuse}"])
    reference = Reference("FineTuneJob", NAMESPACE, job["metadata"]["name"])
    submitted = job | {
        "metadata": job["metadata"] | {"namespace": NAMESPACE},
        "spec": job["spec"] | {"workspace": {"path": str(workspace)}, "suspend": False},
    }
    with suppress(NotFoundError):
        changed = what_changed(await cluster.get(reference), submitted)
        if changed is not None:
            # Stages whose inputs are unchanged are found in the workspace by their pods, and not run again.
            print(f"{changed}; unchanged stages are kept", file=sys.stderr)
            await cluster.delete(reference)
        else:
            await _book_stop(cluster, reference, last_sign_of_life(folder))
    try:
        await cluster.apply(submitted)
    except InvalidObjectError as error:
        refuse(
            [
                *str(error).split("; "),
                f"{folder} holds a run of this job: change metadata.name, or give another folder with --workspace",
            ]
        )
    return reference


async def _book_stop(cluster: LocalCluster, reference: Reference, stopped_at: datetime) -> None:
    """A run whose process ended without a word was suspended then: that is no restart, and no lost time."""
    status = FineTuneJobStatus.from_json_object((await cluster.get(reference)).get("status") or {})
    if not any(stage.state == "Running" for stage in status.stages):
        return
    await _suspend(cluster, reference)
    controller = Controller(cluster, HttpProgressSource(), clock=lambda: stopped_at, settings=LOCAL_SETTINGS)
    for _ in range(STOP_VISITS):
        with suppress(ConflictError):
            await controller.sync(reference.namespace or NAMESPACE, reference.name)
            return


async def _suspend(cluster: LocalCluster, reference: Reference) -> Object:
    job = await cluster.get(reference)
    return await cluster.apply(
        {key: job[key] for key in ("apiVersion", "kind")}
        | {"metadata": {key: job["metadata"][key] for key in ("name", "namespace")}}
        | {"spec": job["spec"] | {"suspend": True}}
    )


async def _run_until_end(
    cluster: LocalCluster, reference: Reference, folder: Path, display: Display
) -> tuple[Object, CliExitCode]:
    stop = asyncio.Event()
    job_file = JobFile(folder / JOB_FILE)
    controller = asyncio.create_task(
        run_on_watches(cluster, Controller(cluster, HttpProgressSource(), settings=LOCAL_SETTINGS), stop)
    )
    events = asyncio.create_task(_record_events(cluster, folder / EVENTS_FILE))
    try:
        async with _interruptions(cluster, reference) as interruptions:
            while True:
                job = await cluster.get(reference)
                job_file.write(job)
                display.show(FineTuneJob.from_json_object(job))
                code = _exit_code(job, interruptions)
                if code is not None:
                    return job, code
                if controller.done():
                    controller.result()
                await asyncio.sleep(REFRESH_SECONDS)
    finally:
        stop.set()
        events.cancel()
        await asyncio.gather(controller, events, return_exceptions=True)


def _exit_code(job: Object, interruptions: list[int]) -> CliExitCode | None:
    status = FineTuneJobStatus.from_json_object(job.get("status") or {})
    succeeded = next((c for c in status.conditions if c.type == "Succeeded"), None)
    if succeeded is not None and succeeded.status == "True":
        return CliExitCode.SUCCEEDED
    valid = next((c for c in status.conditions if c.type == "Valid"), None)
    if status.state == "Failed" or (valid is not None and valid.status == "False"):
        return CliExitCode.FAILED
    if interruptions and (status.state == "Suspended" or len(interruptions) > 1):
        return CliExitCode.INTERRUPTED
    return None


@asynccontextmanager
async def _interruptions(cluster: LocalCluster, reference: Reference) -> AsyncIterator[list[int]]:
    """Signals received; the first one suspends the job."""
    received: list[int] = []
    tasks: list[asyncio.Task[Object]] = []

    def receive(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            tasks.append(asyncio.create_task(_suspend(cluster, reference)))

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, receive, number)
    try:
        yield received
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        await asyncio.gather(*tasks, return_exceptions=True)


class JobFile:
    """Keeps `job.json` in step with the stored object."""

    def __init__(self, path: Path) -> None:
        """`path` is that of the file."""
        self._path = path
        self._version = ""

    def write(self, job: Object) -> None:
        """Write `job` unless the file already has this version."""
        version = str(job["metadata"]["resourceVersion"])
        if version != self._version:
            write_json_atomically(self._path, job)
            self._version = version


async def _record_events(cluster: LocalCluster, path: Path) -> None:
    """Write each event as one JSON line: those that exist, then each as it comes."""
    with path.open("w", encoding="utf-8") as file:
        async for change in cluster.watch("Event", NAMESPACE):
            if change.type != "DELETED":
                file.write(json.dumps(change.object, ensure_ascii=False) + "\n")
                file.flush()
