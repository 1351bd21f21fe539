"""Which of the namespaces that an operator was given it may read; one without rights must not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from finetune_operator.cluster.interface import Kind

Refusal = Callable[[Kind, str], Awaitable[str | None]]
"""Why the API server refuses to list a kind in a namespace; None: it does not."""
_log = logging.getLogger(__name__)


class ServedNamespaces:
    """Checks with the API server; logs what changed.

    Args:
        wanted: those of the settings; empty: all of the cluster, which are not checked.
        kinds: that must be readable.
        refusal: checks one kind in one namespace.
    """

    def __init__(self, wanted: tuple[str, ...], kinds: Iterable[Kind], refusal: Refusal) -> None:
        self._wanted = wanted
        self._kinds = tuple(kinds)
        self._refusal = refusal
        self._refused: dict[str, str] = {}

    @property
    def now(self) -> tuple[str, ...]:
        """Those that may be read, as of the last look."""
        return tuple(name for name in self._wanted if name not in self._refused)

    @property
    def problem(self) -> str:
        """Why nothing can be served; empty if something can."""
        return "" if self.now or not self._wanted else f"no namespace may be read: {next(iter(self._refused.values()))}"

    async def look(self) -> bool:
        """Check anew; returns whether the answer differs from the last one.

        Raises:
            ClusterError: if the API server does not answer.
        """
        before = self.now
        refused = {name: reason for name in self._wanted if (reason := await self._reason(name)) is not None}
        for name in refused.keys() - self._refused.keys():
            _log.error(
                "namespace %s is not served: %s. Give the operator its Role and RoleBinding there, or take the "
                "namespace out of `namespaces`",
                name,
                refused[name],
            )
        for name in self._refused.keys() - refused.keys():
            _log.info("namespace %s may be served now", name)
        self._refused = refused
        return self.now != before

    async def _reason(self, namespace: str) -> str | None:
        for kind in self._kinds:
            reason = await self._refusal(kind, namespace)
            if reason is not None:
                return reason
        return None
