"""An in-memory cluster with a Job controller and a kubelet, both of which move only when told to."""

from __future__ import annotations

import asyncio
import marshal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.stage_result import StageError, StageResult
from finetune_api.status import FineTuneJobStatus
from finetune_operator.cluster.interface import ConflictError, Kind, NotFoundError, Reference, WatchEvent
from finetune_operator.control.controller import Controller
from finetune_operator.reconcile.settings import Settings

T = TypeVar("T")
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SETTINGS = Settings(status_interval_seconds=15, backoff_base_seconds=10, backoff_max_seconds=300)


class Crash(BaseException):
    """The operator's process ends here. Not an Exception: nothing may catch it."""


class MemoryCluster:
    """Objects by (kind, namespace, name); status apart; owners' children go with them."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.clock = clock
        self.version = 0
        self.uids: dict[str, set[str]] = {}
        self.writes: list[str] = []
        self.after_write: Callable[[], None] = lambda: None
        self.before_write: Callable[[str], None] = lambda _: None

    async def get(self, reference: Reference) -> Object:
        try:
            return copied(self.objects[reference.kind, reference.namespace, reference.name])
        except KeyError:
            raise NotFoundError(str(reference)) from None

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        wanted = (labels or {}).items()
        return [
            copied(o)
            for (k, n, _), o in sorted(self.objects.items())
            if k == kind and namespace in (None, n) and wanted <= o["metadata"].get("labels", {}).items()
        ]

    async def create(self, value: Object) -> Object:
        self.before_write(f"create {value['kind']}")
        metadata = value["metadata"]
        if (value["kind"], metadata["namespace"], metadata["name"]) in self.objects:
            raise ConflictError(f"{value['kind']} {metadata['name']} exists")
        return self._written("create", value)

    async def apply(self, value: Object) -> Object:
        self.before_write(f"apply {value['kind']}")
        return self._written("apply", value)

    def _written(self, verb: str, value: Object) -> Object:
        stored = self.put(value)
        if value["kind"] != "Event":
            self.writes.append(f"{verb} {value['kind']} {value['metadata']['name']}")
            self.after_write()
        return stored

    async def apply_status(self, value: Object) -> Object:
        self.before_write("status")
        metadata = value["metadata"]
        key = (value["kind"], metadata["namespace"], metadata["name"])
        if key not in self.objects:
            raise NotFoundError(str(key))
        stored = self.objects[key]
        if metadata.get("resourceVersion") not in (None, stored["metadata"]["resourceVersion"]):
            raise ConflictError(str(key))
        stored["status"] = copied(value["status"])
        self._touch(stored)
        self.writes.append("status")
        self.after_write()
        return copied(stored)

    async def delete(self, reference: Reference) -> None:
        self.before_write(f"delete {reference.kind}")
        self.writes.append(f"delete {reference.kind} {reference.name}")
        self.remove((reference.kind, reference.namespace, reference.name))
        self.after_write()

    async def watch(self, kind: Kind, namespace: str | None) -> AsyncIterator[WatchEvent]:
        for value in await self.list(kind, namespace):
            yield WatchEvent("ADDED", value)
        await asyncio.Event().wait()

    def put(self, value: Object) -> Object:
        """Create or replace without a trace in `writes`."""
        metadata = value["metadata"]
        key = (value["kind"], metadata.get("namespace", ""), metadata["name"])
        old = self.objects.get(key)
        new = copied(value)
        new["metadata"] = {**(old or {}).get("metadata", {}), **new["metadata"]}
        new["metadata"].setdefault("uid", f"uid-{self.version + 1}")
        new["metadata"].setdefault("creationTimestamp", stamp(self.clock()))
        if value["kind"] == "FineTuneJob":
            generation = (old or {}).get("metadata", {}).get("generation", 0)
            new["metadata"]["generation"] = generation + (old is None or old["spec"] != new["spec"])
        if old is not None and "status" in old:
            new.setdefault("status", old["status"])
        self._touch(new)
        self.objects[key] = new
        self.uids.setdefault(f"{key[0]} {key[2]}", set()).add(new["metadata"]["uid"])
        return copied(new)

    def remove(self, key: tuple[str, str, str]) -> None:
        """Delete with all that it owns; a running pod ends gracefully, so it stays until the kubelet ends it."""
        gone = self.objects.get(key)
        if gone is None:
            return
        if key[0] == "Pod" and gone["status"]["phase"] in ("Pending", "Running"):
            gone["metadata"].setdefault("deletionTimestamp", stamp(self.clock()))
            self._touch(gone)
            return
        del self.objects[key]
        for other, value in list(self.objects.items()):
            if any(o["uid"] == gone["metadata"]["uid"] for o in value["metadata"].get("ownerReferences", ())):
                self.remove(other)

    def _touch(self, value: Object) -> None:
        self.version += 1
        value["metadata"]["resourceVersion"] = str(self.version)


class World:
    """A job in a cluster, its clock, and the machinery that Kubernetes would be."""

    def __init__(self, job: Object, settings: Settings = SETTINGS, runtime: str = "cpu") -> None:
        self.now = START
        self.elapsed = 0.0
        self.settings = settings
        self.cluster = MemoryCluster(lambda: self.now)
        self.progress: Progress | None = None
        self.name = job["metadata"]["name"]
        self.cluster.put(runtime_object(runtime))
        self.cluster.put(job)
        self.restart()

    def restart(self, reader: Any = None) -> None:
        """A new operator process."""
        self.controller = Controller(
            self.cluster, self, lambda: self.now, self.settings, reader, monotonic=lambda: self.elapsed
        )

    async def read(self, pods: Sequence[Object]) -> Progress | None:
        """The progress source."""
        return self.progress if pods else None

    def sync(self) -> float | None:
        return drive(self.controller.sync("default", self.name))

    def settle(self, limit: int = 20) -> None:
        """Visit until nothing is written any more."""
        for _ in range(limit):
            self.create_pods()
            before = len(self.cluster.writes)
            self.sync()
            if len(self.cluster.writes) == before:
                return
        raise AssertionError(f"still writing after {limit} visits: {self.cluster.writes[-6:]}")

    def advance(self, seconds: float) -> None:
        """Time goes by, and nobody visits."""
        self.now += timedelta(seconds=seconds)
        self.elapsed += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the operator's clock."""
        self.now += timedelta(seconds=seconds)

    def watch_for(self, seconds: int) -> None:
        """Time goes by, with visits as often as the operator wants them."""
        end = self.elapsed + seconds
        while self.elapsed < end:
            delay = self.sync()
            self.advance(min(end - self.elapsed, delay if delay is not None else seconds))
        self.settle()

    @property
    def job(self) -> Object:
        return self.cluster.objects["FineTuneJob", "default", self.name]

    @property
    def status(self) -> FineTuneJobStatus:
        return FineTuneJobStatus.from_json_object(self.job.get("status", {}))

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(c for c in self.status.conditions if c.type == kind)
        return found.status, found.reason

    def message(self, kind: str) -> str:
        return next(c.message for c in self.status.conditions if c.type == kind)

    def stage(self, name: str) -> Any:
        return next(s for s in self.status.stages if s.name == name)

    def events(self) -> list[str]:
        found = [o for (k, _, _), o in self.cluster.objects.items() if k == "Event"]
        return [e["reason"] for e in found]

    def of(self, kind: str) -> list[Object]:
        return [o for (k, _, _), o in sorted(self.cluster.objects.items()) if k == kind]

    def edit(self, **spec: Any) -> None:
        self.cluster.put({**self.job, "spec": {**self.job["spec"], **spec}})

    # What Kubernetes does.

    def create_pods(self) -> None:
        """The Job controller and the kubelet: every unfinished Job gets its pods, and they run."""
        for job in self.of("Job"):
            if job.get("status", {}).get("conditions"):
                continue
            for index in range(job["spec"]["completions"]):
                name = f"{job['metadata']['name']}-{index}-abcde"
                if ("Pod", "default", name) not in self.cluster.objects:
                    self.cluster.put(_pod(job, name, index, self.now))

    def live_pods(self) -> list[Object]:
        return [p for p in self.of("Pod") if p["status"]["phase"] in ("Pending", "Running")]

    def live_gangs(self) -> set[tuple[str, str, str]]:
        """(stage, attempt, uid of the Job) of everything that may run."""
        return {
            (own["labels"][labels.STAGE], own["labels"][labels.ATTEMPT], own["ownerReferences"][0]["uid"])
            for own in (p["metadata"] for p in self.live_pods())
        }

    def end_pod(self, pod: Object, code: int, message: str = "", reason: str = "", after: float = 0.0) -> None:
        """A container ends; a pod that was being deleted is gone then."""
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        terminated = {"exitCode": code, "message": message, "finishedAt": stamp(self.now + timedelta(seconds=after))}
        pod["status"]["containerStatuses"] = [
            {"name": labels.CONTAINER, "state": {"terminated": {**terminated, "reason": reason or "Completed"}}}
        ]
        if "deletionTimestamp" in pod["metadata"]:
            del self.cluster.objects["Pod", "default", pod["metadata"]["name"]]

    def reap(self) -> None:
        """Pods that were being deleted end, and the Job controller draws its conclusions."""
        for pod in self.live_pods():
            if "deletionTimestamp" in pod["metadata"]:
                self.end_pod(pod, 143)
        for job in self.of("Job"):
            pods = [p for p in self.of("Pod") if p["metadata"]["labels"][labels.JOB_NAME] == job["metadata"]["name"]]
            phases = [p["status"]["phase"] for p in pods]
            if "Failed" in phases:
                for pod in pods:
                    if pod["status"]["phase"] == "Running":
                        self.end_pod(pod, 143)
                job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "a pod failed"}]}
            elif phases.count("Succeeded") == job["spec"]["completions"]:
                job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    def finish_gang(self, code: int = 0, **result: Any) -> None:
        """All live pods end the same way, with a StageResult; then the operator is given time to see it."""
        for pod in self.live_pods():
            self.end_pod(pod, code, self.result(pod, code, **result))
        self.reap()

    def result(self, pod: Object, code: int, **changes: Any) -> str:
        stage = pod["metadata"]["labels"][labels.STAGE]
        error = StageError(reason="Broken", message=f"{stage} broke", remedy="mend it") if code not in (0, 75) else None
        values = {
            "stage": stage,
            "attempt": int(pod["metadata"]["labels"][labels.ATTEMPT]),
            "outcome": "Succeeded" if code == 0 else "Preempted" if code == 75 else "Failed",
            "exit_code": code,
            "artifact": f"{stage}-artifact" if code == 0 else None,
            "message": f"{stage} done" if code == 0 else "",
            "error": error,
            "started_at": self.now,
            "completed_at": self.now,
        }
        return StageResult.model_validate(values | changes).to_termination_message()


def copied(value: Object) -> Object:
    """A deep copy of JSON; far faster than copy.deepcopy."""
    new: Object = marshal.loads(marshal.dumps(value))
    return new


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits for anything outside."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("the memory cluster never waits")


def stamp(time: datetime) -> str:
    """As the API server writes times: whole seconds."""
    return time.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _pod(job: Object, name: str, index: int, now: datetime) -> Object:
    template = job["spec"]["template"]
    own = {labels.JOB_NAME: job["metadata"]["name"], labels.JOB_COMPLETION_INDEX: str(index)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {**template["metadata"]["labels"], **own},
            "ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"]}],
        },
        "spec": {**template["spec"], "nodeName": f"node-{index}"},
        "status": {"phase": "Running", "startTime": stamp(now)},
    }


def runtime_object(name: str = "cpu", **spec: Any) -> Object:
    return {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "ClusterFineTuneRuntime",
        "metadata": {"name": name},
        "spec": {"image": "registry.example/trainer@sha256:0", **spec},
    }


def job_object(name: str = "ui-en-es", **spec: Any) -> Object:
    """prepare, pretrain, evaluate on two nodes; keyword arguments replace fields, None removes one."""
    values = {
        "runtimeRef": {"kind": "ClusterFineTuneRuntime", "name": "cpu"},
        "workspace": {"claimName": "medical"},
        "parallelism": {"nodes": 2},
        "model": {"scratch": {"layers": 1, "hidden": 16, "heads": 2, "contextLength": 64}},
        "data": {
            "sources": [
                {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "file:///corpora/ui.tsv"},
                {
                    "name": "bench",
                    "type": "Parallel",
                    "languages": ["en", "es"],
                    "uri": "file:///b.tsv",
                    "role": "Test",
                },
            ]
        },
        "pretrain": {
            "budget": {"tokens": 10_000},
            "objectives": [{"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]}],
            "batch": {"globalTokens": 1024, "sequenceLength": 64},
        },
        "evaluate": {"tasks": [{"name": "en-es", "source": "bench", "direction": "en-es"}]},
        **spec,
    }
    return {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {key: value for key, value in values.items() if value is not None},
    }
