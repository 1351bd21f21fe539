"""What ranks agree on, and work that they share; all of it works for a single rank without torch.

All but `sum` may wait for files: it is gloo whatever the device, and waits long.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup

T = TypeVar("T")
Item = TypeVar("Item")

FILE_TIMEOUT = timedelta(hours=2)
"""For how long ranks wait for one that reads or writes files."""
_LATE = "failed to pass monitoredBarrier"
_file_group: ProcessGroup | None = None

GATHER_CHUNK = 2000
"""Results per collective of `map`: bounds the memory of pickled copies, which each rank holds for all ranks."""


def set_file_group(group: ProcessGroup | None) -> None:
    """The group of all that may wait for files; torch keeps one default group a process, and this is beside it."""
    global _file_group  # noqa: PLW0603 - see above
    _file_group = group


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
class Ranks:
    """Which rank this is, of all of a gang. Methods are collective: every rank calls them, in the same order."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Within its pod."""

    @classmethod
    def from_environment(cls) -> Ranks:
        """From the variables that torchrun sets."""
        return cls(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))

    @property
    def is_main(self) -> bool:
        """Rank 0: the one that writes artifacts and speaks for the gang. Not a collective."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return any(self.gather(flag))

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all ranks, in place; a rank that is late here hangs."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(values)
        return values

    def barrier(self) -> None:
        """Wait for all ranks; the error names those that do not come within FILE_TIMEOUT."""
        if self.size > 1:
            from torch import distributed

            began = time.monotonic()
            try:
                distributed.monitored_barrier(_file_group, FILE_TIMEOUT, wait_all_ranks=True)
            except RuntimeError as error:
                if time.monotonic() - began < FILE_TIMEOUT.total_seconds() and _LATE in str(error):
                    # It says of a rank that is gone, too, that it was late.
                    raise RuntimeError("gloo: Connection closed by a rank before the barrier") from None
                raise

    def from_main(self, compute: Callable[[], T]) -> T:
        """What `compute` returns on rank 0, on every rank; an error of it is raised on every rank."""
        value: T | None = None
        error: Exception | None = None
        if self.is_main:
            try:
                value = compute()
            except Exception as caught:  # noqa: BLE001 - raised below, here and on the other ranks
                error = caught
        if self.size == 1:
            if error is not None:
                raise error
            return value  # type: ignore[return-value]  # computed above
        from torch import distributed

        box: list[T | _Failure | None] = [_Failure.of(error) if error else value]
        distributed.broadcast_object_list(box, src=0, group=_file_group)
        received = box[0]
        if isinstance(received, _Failure):
            raise error or received.to_error()
        return received  # type: ignore[return-value]  # what rank 0 computed

    def first_problem(self, error: Exception | None) -> Exception | None:
        """The error of the lowest rank that has one, on every rank."""
        failures = [f for f in self.gather(_Failure.of(error) if error else None) if f is not None]
        return failures[0].to_error() if failures else None

    def gather(self, value: T) -> list[T]:
        """The value of every rank, in order."""
        if self.size == 1:
            return [value]
        from torch import distributed

        gathered: list[T | None] = [None] * self.size
        distributed.all_gather_object(gathered, value, group=_file_group)
        return gathered  # type: ignore[return-value]  # one of each rank

    def map(self, function: Callable[[list[Item]], list[T]], items: Sequence[Item]) -> list[T]:
        """`function(items)` with the items dealt out to the ranks; on every rank in the order of `items`.

        `function` must give one result per item; all ranks pass equal items.
        """
        own = function(list(items[self.rank :: self.size]))
        if self.size == 1:
            return own
        gathered: list[list[T]] = [[] for _ in range(self.size)]
        longest_share = -(-len(items) // self.size)
        for start in range(0, longest_share, GATHER_CHUNK):
            for share, part in zip(gathered, self.gather(own[start : start + GATHER_CHUNK]), strict=True):
                share.extend(part)
        return [gathered[i % self.size][i // self.size] for i in range(len(items))]
