"""The few agreements that ranks need around a checkpoint; each works for a single rank without torch."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error on its way to another rank."""

    kind: str
    number: int | None
    text: str

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        if isinstance(error, OSError) and error.errno in errno.errorcode:
            return cls(type(error).__name__, error.errno, str(error.filename or ""))
        return cls(type(error).__name__, None, str(error))

    def to_error(self) -> Exception:
        if self.number is not None:
            return OSError(self.number, os.strerror(self.number), self.text)
        return RuntimeError(f"{self.kind}: {self.text}")


@dataclass(frozen=True, slots=True)
class Gang:
    """All ranks. Every method is collective."""

    rank: int
    size: int

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return any(self._gather(flag))

    def from_main(self, compute: Callable[[], T]) -> T:
        """What `compute` returns on rank 0, on every rank; an error of it is raised on every rank."""
        value: T | None = None
        error: Exception | None = None
        if self.rank == 0:
            try:
                value = compute()
            except Exception as caught:  # noqa: BLE001 - raised below, here and on the other ranks
                error = caught
        if self.size == 1:
            if error is not None:
                raise error
            return value  # type: ignore[return-value]  # computed above
        import torch.distributed as dist

        box: list[T | _Failure | None] = [_Failure.of(error) if error else value]
        dist.broadcast_object_list(box, src=0)
        received = box[0]
        if isinstance(received, _Failure):
            raise error or received.to_error()
        return received  # type: ignore[return-value]  # what rank 0 computed

    def first_problem(self, error: Exception | None) -> Exception | None:
        """The error of the lowest rank that has one, on every rank."""
        failures = [f for f in self._gather(_Failure.of(error) if error else None) if f is not None]
        return failures[0].to_error() if failures else None

    def _gather(self, value: T) -> list[T]:
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        gathered: list[T | None] = [None] * self.size
        dist.all_gather_object(gathered, value)
        return gathered  # type: ignore[return-value]  # one of each rank
