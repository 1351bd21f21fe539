"""Small objects and a disk that can die."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from finetune_api.objects import Object
from finetune_operator.cluster.interface import Kind, Reference
from finetune_operator.cluster.local.disk import Disk
from finetune_operator.cluster.local.object_folder import ObjectFolder
from finetune_operator.cluster.local.store import ObjectStore

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Crash(BaseException):
    """The process ends here. Not an Exception: nothing may catch it."""


class FastDisk(Disk):
    """Without the waiting: a killed process, unlike a power cut, loses nothing that was written."""

    def write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)

    def sync_folder(self, folder: Path) -> None:
        assert folder.is_dir()


class DyingDisk(FastDisk):
    """Performs a number of steps, then dies in the middle of the next one."""

    def __init__(self, steps: int, share_written: float = 0.5) -> None:
        self.steps = steps
        self.share_written = share_written

    def _step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Crash

    def write(self, path: Path, content: bytes) -> None:
        try:
            self._step()
        except Crash:
            path.write_bytes(content[: int(len(content) * self.share_written)])
            raise
        super().write(path, content)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        super().sync_folder(folder)


def open_store(folder: Path, disk: Disk | None = None) -> ObjectStore:
    return ObjectStore(ObjectFolder(folder, disk or FastDisk()), lambda: NOW)


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the store never waits")


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def config(name: str, owner: str | None = None, labels: dict[str, str] | None = None, **data: str) -> Object:
    metadata: Object = {"name": name, "namespace": "default", "labels": labels or {}}
    if owner is not None:
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def service(name: str, **spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def pod(name: str, owner: str | None = None) -> Object:
    value = config(name, owner) | {"kind": "Pod", "spec": {"containers": [{"name": "trainer"}]}}
    del value["data"]
    return value


def ref(kind: Kind, name: str) -> Reference:
    return Reference(kind, "default", name)


def finetune_job(**spec: Any) -> Object:
    return {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "ui"},
        "spec": {
            "model": {"scratch": {"layers": 2, "hidden": 64, "heads": 4, "contextLength": 64}},
            "data": {
                "sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "file:///ui.tsv"}]
            },
            "pretrain": {
                "budget": {"tokens": 4096},
                "objectives": [{"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]}],
                "batch": {"globalTokens": 1024, "sequenceLength": 64},
            },
            **spec,
        },
    }
