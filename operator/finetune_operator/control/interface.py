"""What the controller reads from besides a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_operator.cluster.interface import Kind, Reference


class Reader(Protocol):
    """Reads that may be a little old, such as a cache's."""

    async def get(self, reference: Reference) -> Object:
        """As in `Cluster`."""
        ...

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        """As in `Cluster`."""
        ...


class ProgressSource(Protocol):
    """Where the running stage is."""

    async def read(self, pods: Sequence[Object]) -> Progress | None:
        """The answer of /progress of the gang that these pods are; None if it cannot be had now."""
        ...


class ReportSource(Protocol):
    """The full report, while rank 0 of evaluate offers it."""

    async def read(self, pods: Sequence[Object]) -> str | None:
        """The report as JSON; None if it cannot be had now."""
        ...

    async def confirm(self, pods: Sequence[Object]) -> None:
        """Report that it is published: nobody need wait."""
        ...
