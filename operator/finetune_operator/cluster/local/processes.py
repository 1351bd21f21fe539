"""Processes of a pod, found by the mark in their environment: process ids may be reused, marks are not."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from finetune_operator.cluster.local.container import POD_UID_VARIABLE

POLL_SECONDS = 0.05
KILL_SECONDS = 10.0


def processes_of(uids: set[str]) -> list[int]:
    """Ids of all processes of these pods that are alive; zombies have no environment any more."""
    marks = {f"{POD_UID_VARIABLE}={uid}".encode() for uid in uids}
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if not marks.isdisjoint(Path(entry.path, "environ").read_bytes().split(b"\0")):
                    found.append(int(entry.name))
    return found


async def wait_until_gone(uids: set[str], seconds: float) -> bool:
    """Whether all processes of these pods have ended within this time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while uids and processes_of(uids):
        if loop.time() >= end:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def kill(uids: set[str]) -> None:
    """SIGKILL to every process of these pods until none is left."""
    loop = asyncio.get_running_loop()
    end = loop.time() + KILL_SECONDS
    while uids and (pids := processes_of(uids)) and loop.time() < end:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(POLL_SECONDS)
