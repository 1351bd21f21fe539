"""Why the gang ended, as one answer for all its pods.

A rank that fails writes its result to the gang's store before it lets its connections go. The others, which notice a
moment later that a peer is gone, look there and end with the same result: whichever pod is asked, the exit code is
that of the cause.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from finetune_api.stage_result import StageResult, parse_termination_message

WAIT_SECONDS = 1.0
"""How long a rank that lost its peer looks for the cause; a killed peer leaves none."""
LINGER_SECONDS = 3.0
"""How long the pod that holds the store stays for ranks that have yet to look."""
_KEY = "finetune/verdict"
_SEEN = "finetune/verdict-seen"
_POLL_SECONDS = 0.05


class Store(Protocol):
    """What is needed of torch.distributed.Store."""

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        """Set `key` if it has the expected value, or is not there and `expected` is empty; returns what it has now."""
        ...

    def check(self, keys: list[str], /) -> bool:
        """Whether all keys are there."""
        ...

    def get(self, key: str, /) -> bytes:
        """The value."""
        ...

    def add(self, key: str, amount: int, /) -> int:
        """Add to a counter, which starts at 0; returns its value."""
        ...


def announce(store: Store | None, result: StageResult) -> None:
    """Write why this rank ends, unless another rank has written before."""
    if store is None:
        return
    try:
        store.compare_set(_KEY, "", result.to_termination_message())
        store.add(_SEEN, 1)
    except RuntimeError:
        return  # the store went with its pod


def await_cause(store: Store | None, seconds: float = WAIT_SECONDS) -> StageResult | None:
    """What another rank announced; None if nothing comes within `seconds`."""
    deadline = time.monotonic() + seconds
    while store is not None:
        try:
            if store.check([_KEY]):
                cause = parse_termination_message(store.get(_KEY).decode())
                store.add(_SEEN, 1)
                # The order of ends within a pod is that of noticing, not of the clock of another machine.
                return cause and cause.model_copy(update={"completed_at": datetime.now(UTC)})
        except RuntimeError:
            return None
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL_SECONDS)
    return None


def linger(store: Store | None, ranks: int, seconds: float = LINGER_SECONDS) -> None:
    """Keep the store open until all `ranks` know the verdict, if there is one, at most for `seconds`."""
    deadline = time.monotonic() + seconds
    while store is not None and store.check([_KEY]) and time.monotonic() < deadline:
        if store.add(_SEEN, 0) >= ranks:
            return
        time.sleep(_POLL_SECONDS)
