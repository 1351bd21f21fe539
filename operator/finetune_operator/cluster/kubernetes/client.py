"""`Cluster` over the Kubernetes API: JSON in, JSON out; what exists is written by server-side apply."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlencode
from urllib.request import getproxies

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from finetune_api.objects import Object
from finetune_operator.cluster.interface import (
    FIELD_MANAGER,
    ClusterError,
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    Kind,
    NotFoundError,
    Reference,
)
from finetune_operator.cluster.resources import RESOURCES, path_of

Observer = Callable[[str, Kind, int], None]
"""Called after each request: verb, kind, HTTP status (0: no answer)."""
APPLY = "application/apply-patch+yaml"
REQUEST_TIMEOUT_SECONDS = 30.0
PAGE = 100
"""Objects of one answer of a list: few, since parsed whole they are the peak of the memory."""
_REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


@dataclass(frozen=True, slots=True)
class Listed:
    """Part of a list: objects as they were at one resourceVersion."""

    items: list[Object]
    version: int


async def load_configuration(kubeconfig: str | None = None) -> Configuration:
    """The named kubeconfig, else the service account of the pod, else the user's kubeconfig.

    Raises:
        ClusterError: if there is none that can be read.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except ConfigException:
                await config.load_kube_config(client_configuration=configuration)
        else:
            await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    except (ConfigException, OSError, TypeError, ValueError) as error:
        raise ClusterError(f"no access to a cluster: {error}. Set KUBECONFIG or run in a pod.") from error
    if not getproxies():
        # Otherwise aiohttp looks for a .netrc, in a thread, before every request.
        configuration.client_session_kwargs = {"trust_env": False}
    return configuration


class KubernetesCluster:
    """Implements `Cluster`; reads come from the API server, up to date.

    Args:
        api: the client, with its credentials.
        namespaces: where to read namespaced kinds; empty: everywhere. The attribute may be changed.
        throttle: awaited before each write; bounds their rate.
        observer: called after each request.
    """

    def __init__(
        self,
        api: ApiClient,
        namespaces: tuple[str, ...] = (),
        throttle: Callable[[], Awaitable[None]] | None = None,
        observer: Observer = lambda *_: None,
    ) -> None:
        self._api = api
        self.namespaces = namespaces
        self._throttle = throttle
        self._observer = observer

    async def get(self, reference: Reference) -> Object:
        """See `Cluster`."""
        return await self._request("GET", reference.kind, path_of(reference))

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        """See `Cluster`; in pages, so that no answer is large."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        pages = self.pages(kind, selector) if namespace is None else self._pages(kind, namespace, selector)
        return [item async for page in pages for item in page.items]

    async def pages(self, kind: Kind, selector: str = "") -> AsyncIterator[Listed]:
        """All objects of a kind that a label selector finds, as `kubectl get -l` takes it, a part at a time."""
        for place in (self.namespaces or (None,)) if RESOURCES[kind].namespaced else (None,):
            async for page in self._pages(kind, place, selector):
                yield page

    async def refusal(self, kind: Kind, namespace: str) -> str | None:
        """Why the API server refuses to list a kind in a namespace; None: it does not.

        Raises:
            ClusterError: if it does not answer.
        """
        try:
            await self._request("GET", kind, RESOURCES[kind].path(namespace), {"limit": "1"})
        except ForbiddenError as error:
            return str(error)
        return None

    async def _pages(self, kind: Kind, namespace: str | None, selector: str) -> AsyncIterator[Listed]:
        resource = RESOURCES[kind]
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            answer = await self._request("GET", kind, resource.path(namespace), query)
            metadata = answer.get("metadata", {})
            # The items of a list come without their kind.
            yield Listed(
                [{"apiVersion": resource.api_version, "kind": kind} | item for item in answer.get("items") or ()],
                int(metadata.get("resourceVersion") or 0),
            )
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def apply(self, value: Object) -> Object:
        """See `Cluster`."""
        return await self._apply(value)

    async def apply_status(self, value: Object) -> Object:
        """See `Cluster`."""
        return await self._apply(value | {"status": without_empty_maps(value["status"])}, "/status")

    async def _apply(self, value: Object, subresource: str = "") -> Object:
        reference = reference_of(value)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._request("PATCH", reference.kind, path_of(reference) + subresource, query, value)

    async def create(self, value: Object) -> Object:
        """See `Cluster`."""
        reference = reference_of(value)
        path = RESOURCES[reference.kind].path(reference.namespace)
        return await self._request("POST", reference.kind, path, {"fieldManager": FIELD_MANAGER}, value)

    async def delete(self, reference: Reference) -> None:
        """See `Cluster`."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        try:
            await self._request("DELETE", reference.kind, path_of(reference), body=body)
        except NotFoundError:
            return

    async def _request(
        self, method: str, kind: Kind, path: str, query: dict[str, str] | None = None, body: Object | None = None
    ) -> Object:
        if method != "GET" and self._throttle is not None:
            await self._throttle()
        status = 0
        try:
            response = await self._api.call_api(
                method,
                self._api.configuration.host + path + (f"?{urlencode(query)}" if query else ""),
                await self._headers(method),
                body,
                _request_timeout=REQUEST_TIMEOUT_SECONDS,
            )
            status = response.status
            data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ClusterError(
                f"the API server did not answer {method} {path}: {str(error) or type(error).__name__}"
            ) from error
        finally:
            self._observer(method, kind, status)
        if status >= HTTPStatus.BAD_REQUEST:
            raise _error(status, data, f"{method} {path}", response.headers.get("Retry-After"))
        return cast("Object", json.loads(data))

    async def _headers(self, method: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
        headers["Content-Type"] = APPLY if method == "PATCH" else "application/json"
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], "", method, None)
        return headers


def reference_of(value: Object) -> Reference:
    """What an object is called."""
    metadata = value["metadata"]
    return Reference(value["kind"], metadata.get("namespace", ""), metadata["name"])


def _error(status: int, data: bytes, request: str, retry_after: str | None) -> ClusterError:
    """The error of an answer, with the message of the API server."""
    try:
        reason = json.loads(data).get("message") or data.decode(errors="replace")
    except (ValueError, AttributeError):
        reason = data[:300].decode(errors="replace")
    message = f"{request}: {reason} ({status})"
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(message)
    if status == HTTPStatus.CONFLICT:
        return ConflictError(message)
    if status == HTTPStatus.FORBIDDEN:
        return ForbiddenError(message)
    if status in _REFUSED:
        return InvalidObjectError(message)
    error = ClusterError(message)
    if retry_after is not None and retry_after.isdigit():
        error.retry_after_seconds = float(retry_after)
    return error


def without_empty_maps(value: Any) -> Any:
    """`value` without its empty maps, at any depth.

    Server-side apply makes null of a map that loses its last key, and the schema refuses null.
    """
    if isinstance(value, dict):
        return {key: without_empty_maps(each) for key, each in value.items() if each != {}}
    return [without_empty_maps(each) for each in value] if isinstance(value, list) else value
