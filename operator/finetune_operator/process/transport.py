"""kopf carries the watches, and nothing else.

No create, update or delete handlers, hence no annotations, no finalizers, no patches of kopf's. Every event updates
the cache and puts a job on the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import kopf
from kubernetes.aio.client import Configuration

from finetune_api.objects import Object
from finetune_operator.cluster.interface import Kind
from finetune_operator.cluster.kubernetes.cache import SELECTORS, ChangeType
from finetune_operator.cluster.resources import RESOURCES, Resource

WATCHED: tuple[Kind, ...] = ("FineTuneJob", "FineTuneRuntime", "ClusterFineTuneRuntime", "Job", "Pod")
OnChange = Callable[[Kind, ChangeType | None, Object], None]
"""Called with each event; no type: the object was there when kopf listed all."""
SERVER_TIMEOUT_SECONDS = 300
ERROR_BACKOFFS = (1.0, 2.0, 3.0, *(5.0,) * 120)
"""Seconds between tries of a list or a watch: a cluster is heard of again soon after it is back. Then kopf gives up."""


def watched_kinds(namespaces: tuple[str, ...]) -> tuple[Kind, ...]:
    """What a Role allows to watch: no kinds of the whole cluster in namespaced mode."""
    return tuple(kind for kind in WATCHED if RESOURCES[kind].is_served(namespaces))


async def watch(
    configuration: Configuration,
    namespaces: tuple[str, ...],
    on_change: OnChange,
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    """Watch until `stop` is set; `ready` is set when kopf has started."""
    registry = kopf.OperatorRegistry()
    settings = _settings()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connection_info(configuration)

    for kind in watched_kinds(namespaces):
        resource = RESOURCES[kind]
        if SELECTORS[kind]:
            settings.watching.label_selectors[resource.group, resource.version, resource.plural] = SELECTORS[kind]
        _register(registry, kind, resource, on_change)
    await kopf.operator(
        registry=registry,
        settings=settings,
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
        ready_flag=ready,
    )


def _register(registry: kopf.OperatorRegistry, kind: Kind, resource: Resource, on_change: OnChange) -> None:
    @kopf.on.event(resource.group, resource.version, resource.plural, id=f"watch-{resource.plural}", registry=registry)
    async def changed(event: Any, **_: Any) -> None:
        on_change(kind, event["type"], event["object"] | {"kind": kind})


class _NoDiffs(kopf.DiffBaseStorage):
    """Nothing here reads what changed since the last event, for which kopf would copy every object twice."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return


class _NoProgress(kopf.ProgressStorage):
    """Nothing is kept on objects."""

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return

    def purge(self, **_: Any) -> None:
        return

    def touch(self, **_: Any) -> None:
        return

    def clear(self, *, essence: Any) -> Any:
        return essence


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.persistence.progress_storage = _NoProgress()
    settings.posting.enabled = False  # our recorder writes the events
    settings.scanning.disabled = True  # no permission on namespaces and CRDs is needed
    settings.watching.server_timeout = SERVER_TIMEOUT_SECONDS
    settings.watching.client_timeout = SERVER_TIMEOUT_SECONDS + 10
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = ERROR_BACKOFFS
    # Each object that changed lately has a task: in a burst they are the peak of the memory.
    settings.queueing.idle_timeout = 0.2
    settings.queueing.exit_timeout = 1.0
    settings.process.ultimate_exiting_timeout = None
    return settings


async def connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    """The client's credentials, for kopf; fetched again when the API server refuses them."""
    token = None
    auth = (await configuration.auth_settings()).get("BearerToken")
    if auth is not None:
        token = str(auth["value"]).rpartition(" ")[2]  # "Bearer …" of a kubeconfig, "bearer …" of a service account
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        token=token,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
