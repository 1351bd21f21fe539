"""Runs the pods of Indexed Jobs as processes of this machine: Job controller and kubelet in one."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from finetune_api import labels
from finetune_api.objects import Object
from finetune_operator.cluster.interface import ClusterError, ConflictError, NotFoundError, Reference
from finetune_operator.cluster.local import pod_init, pod_status, processes
from finetune_operator.cluster.local.addresses import AddressBook, NoFreeAddressError
from finetune_operator.cluster.local.container import process_of
from finetune_operator.cluster.local.job_controller import control, is_finished, phase_of
from finetune_operator.cluster.local.pod_process import KILLED, Exit, PodProcess, read_exit
from finetune_operator.cluster.local.store import DEFAULT_GRACE_SECONDS, ENDED_PHASES, ObjectStore
from finetune_operator.cluster.local.volumes import NotReadyError, NotRunnableError, prepare_volumes

NODE = "local"
RETRY_SECONDS = 1.0
TERMINATION_FILE = "termination-log"
_log = logging.getLogger(__name__)


class Runner:
    """Brings processes in step with the store's Jobs and Pods, and Pods' statuses in step with the processes."""

    def __init__(self, store: ObjectStore, workspace: Path, state_folder: Path, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._workspace = workspace
        self._pods_folder = state_folder / "pods"
        self._claims_folder = state_folder / "claims"
        self._clock = clock
        self._addresses = AddressBook(f"{workspace} {os.getpid()}")
        self._processes: dict[str, PodProcess] = {}
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._is_stopping = False
        store.on_change(self._wake.set)

    async def recover(self) -> None:
        """End what an earlier runner has left, and record how it ended; nothing else may run before."""
        pods = [p for p in await self._store.list("Pod", None) if _is_bound(p) and phase_of(p) not in ENDED_PHASES]
        uids = {p["metadata"]["uid"] for p in pods}
        # The pods know that their runner has died, and may be saving.
        if not await processes.wait_until_gone(uids, pod_init.ORPHAN_GRACE_SECONDS + 1.0):
            await processes.kill(uids)
        for pod in pods:
            await self._record_end(pod, read_exit(self._folder_of(pod)) or Exit(KILLED))
        known = {p["metadata"]["uid"] for p in await self._store.list("Pod", None)}
        for folder in self._pods_folder.glob("*"):
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def start(self) -> None:
        """Begin to work."""
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Work until `stop`."""
        while not self._is_stopping:
            self._wake.clear()
            retry = None
            try:
                await self.sync()
            except Exception as error:  # noqa: BLE001 - a full disk or one broken pod must not stop the others
                expected = isinstance(error, ClusterError | OSError)
                level = logging.WARNING if expected else logging.ERROR
                _log.log(level, "runner: %s", error if expected else repr(error))
                retry = RETRY_SECONDS
            await asyncio.sleep(0)  # what has just been written is seen by others before it changes again
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), retry)

    async def sync(self) -> None:
        """One visit to every Job and every Pod."""
        for job in await self._store.list("Job", None):
            await self._sync_job(job)
        pods = await self._store.list("Pod", None)
        for pod in pods:
            await self._sync_pod(pod)
        for uid in self._processes.keys() - {p["metadata"]["uid"] for p in pods}:
            self._processes[uid].kill()
            if self._processes[uid].exit is not None:
                del self._processes[uid]

    async def stop(self, grace_seconds: float) -> None:
        """End `run` and all pods, gracefully at first, and record how they ended."""
        self._is_stopping = True
        self._wake.set()
        if self._running is not None:
            await self._running
        for process in self._processes.values():
            process.stop(grace_seconds)
        await asyncio.gather(*(process.wait() for process in self._processes.values()))
        for pod in await self._store.list("Pod", None):
            known = self._processes.get(pod["metadata"]["uid"])
            if known is not None and known.exit is not None:
                with suppress(ClusterError):
                    await self._record_end(pod, known.exit)
        self._processes.clear()

    async def _sync_job(self, job: Object) -> None:
        metadata = job["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        pods = [
            pod
            for pod in await self._store.list("Pod", namespace, {labels.JOB_NAME: name})
            if any(o["uid"] == metadata["uid"] for o in pod["metadata"].get("ownerReferences", ()))
        ]
        decision = control(job, pods, self._clock())
        for pod in decision.create:
            await self._store.apply(pod)
        await self._store.apply_status({**job, "metadata": _identity(metadata), "status": decision.status})
        for pod_name in decision.delete:
            await self._store.delete(Reference("Pod", namespace, pod_name))
        for pod_name in decision.release:
            await self._store.remove(Reference("Pod", namespace, pod_name))
        if is_finished(job):
            self._addresses.forget(metadata["uid"], _hosts(job))

    async def _sync_pod(self, pod: Object) -> None:
        process = self._processes.get(pod["metadata"]["uid"])
        is_deleted = "deletionTimestamp" in pod["metadata"]
        if phase_of(pod) in ENDED_PHASES:
            shutil.rmtree(self._folder_of(pod) / "volumes", ignore_errors=True)
            if is_deleted and await self._job_of(pod) is None:
                await self._store.remove(_reference(pod))
        elif process is not None and process.exit is not None:
            await self._record_end(pod, process.exit)
            del self._processes[pod["metadata"]["uid"]]
        elif process is not None:
            if phase_of(pod) == "Pending":  # the disk was full just after the start
                await self._write_status(pod, pod_status.running(pod, process.address, self._clock()))
            if is_deleted:
                process.stop(float(pod["metadata"].get("deletionGracePeriodSeconds", DEFAULT_GRACE_SECONDS)))
        elif _is_bound(pod):
            await self._record_end(pod, Exit(KILLED))
        else:
            await self._start(pod)

    async def _start(self, pod: Object) -> None:
        """Volumes, address, process, status; what cannot be made is reported in the status."""
        try:
            job = await self._job_of(pod)
            if job is None:
                return  # its Job has just been deleted, and it goes too
            folder = self._folder_of(pod)
            config_maps = await self._store.list("ConfigMap", pod["metadata"]["namespace"])
            by_name = {c["metadata"]["name"]: c for c in config_maps}
            mounts = prepare_volumes(pod, folder / "volumes", self._claims_folder, by_name)
            address = self._allocate(pod, job)
        except NotReadyError as error:
            await self._write_status(pod, pod_status.waiting(pod, "ContainerCreating", str(error)))
            return
        except (NotRunnableError, NoFreeAddressError, OSError) as error:
            await self._record_end(pod, Exit(pod_status.START_ERROR, str(error)))
            return
        # From here on the pod counts as started: after a crash its processes are looked for.
        pod = await self._store.bind(_reference(pod), NODE)
        status = pod_status.running(pod, address, self._clock())
        try:
            message_file = folder / TERMINATION_FILE
            message_file.touch()
            message_path = pod["spec"]["containers"][0].get("terminationMessagePath", labels.TERMINATION_LOG)
            process = process_of(
                pod | {"status": status},
                mounts | {message_path: message_file},
                self._addresses.known_hosts(),
                self._overrides(job),
                self._inherited(),
                self._workspace,
            )
            uid, log = pod["metadata"]["uid"], self._log_of(pod)
            self._processes[uid] = await PodProcess.start(uid, folder, process, address, log, self._wake.set)
        except (NotRunnableError, OSError) as error:
            await self._record_end(pod, Exit(pod_status.START_ERROR, str(error)))
            return
        await self._write_status(pod, status)

    def _allocate(self, pod: Object, job: Object) -> str:
        """Addresses of the whole gang, since its pods name each other; returns this pod's."""
        ports = [p["containerPort"] for p in pod["spec"]["containers"][0].get("ports", ())]
        # The rendezvous port is chosen for the gang; see `_overrides`.
        own_ports = [port for port in ports if port != labels.RENDEZVOUS_PORT]
        addresses = [self._addresses.address_of(host, own_ports) for host in _hosts(job)]
        if labels.RENDEZVOUS_PORT in ports:
            self._addresses.rendezvous_port(job["metadata"]["uid"])
        return addresses[int(pod["metadata"]["annotations"][labels.JOB_COMPLETION_INDEX])]

    def _overrides(self, job: Object) -> dict[str, str]:
        port = self._addresses.chosen_port(job["metadata"]["uid"])
        return {} if port is None else {labels.ENV_RENDEZVOUS_PORT: str(port)}

    @staticmethod
    def _inherited() -> dict[str, str]:
        """This process' environment, and what suits several pods on one machine."""
        # Logs are read as UTF-8, whatever the locale of this machine is.
        return {"GLOO_SOCKET_IFNAME": "lo"} | dict(os.environ) | {"PYTHONIOENCODING": "utf-8"}

    async def _record_end(self, pod: Object, end: Exit) -> None:
        message = pod_status.termination_message(pod, end, self._folder_of(pod) / TERMINATION_FILE, self._log_of(pod))
        await self._write_status(pod, pod_status.ended(pod, end, message, self._clock()))

    async def _write_status(self, pod: Object, status: Object) -> None:
        with suppress(NotFoundError, ConflictError):
            await self._store.apply_status({**pod, "metadata": _identity(pod["metadata"]), "status": status})

    async def _job_of(self, pod: Object) -> Object | None:
        for owner in pod["metadata"].get("ownerReferences", ()):
            with suppress(NotFoundError):
                job = await self._store.get(Reference("Job", pod["metadata"]["namespace"], owner["name"]))
                if job["metadata"]["uid"] == owner["uid"]:
                    return job
        return None

    def _folder_of(self, pod: Object) -> Path:
        return self._pods_folder / str(pod["metadata"]["uid"])

    def _log_of(self, pod: Object) -> Path:
        return self._workspace / "logs" / f"{pod['spec'].get('hostname', pod['metadata']['name'])}.log"


def _hosts(job: Object) -> list[str]:
    """Stable host names of a Job's pods: `<job>-<index>.<service>`."""
    subdomain = job["spec"]["template"]["spec"].get("subdomain")
    suffix = f".{subdomain}" if subdomain else ""
    return [f"{job['metadata']['name']}-{index}{suffix}" for index in range(int(job["spec"].get("completions", 1)))]


def _is_bound(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName"))


def _reference(pod: Object) -> Reference:
    return Reference("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])


def _identity(metadata: Object) -> Object:
    return {key: metadata[key] for key in ("name", "namespace", "uid")}
