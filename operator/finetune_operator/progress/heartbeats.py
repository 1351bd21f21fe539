"""For how long the heartbeats of gangs have stood still, whatever the clocks of pods and operator show."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from finetune_api.objects import JobKey

Gang = tuple[str, str, int]
"""(uid of the FineTuneJob, stage, attempt)."""


@dataclass(slots=True)
class _Seen:
    gang: Gang
    heartbeat: datetime | None
    looked: float
    age: float = 0.0


class HeartbeatAges:
    """Counts the seconds since a heartbeat changed, on this process's monotonic clock.

    A heartbeat is compared with the one before it, never with a time of this machine. Time in which nobody looked
    does not count: a machine that slept, or an operator that was stopped, is no hang.

    Args:
        longest_step_seconds: what counts at most between two looks.
        monotonic: the clock.
    """

    def __init__(self, longest_step_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._longest_step = longest_step_seconds
        self._monotonic = monotonic
        self._seen: dict[JobKey, _Seen] = {}

    def look(self, key: JobKey, gang: Gang, heartbeat: datetime | None) -> float:
        """Take in a job's last heartbeat, None if there is no answer now; returns the age in seconds."""
        now = self._monotonic()
        seen = self._seen.get(key)
        if seen is None or seen.gang != gang:
            seen = self._seen[key] = _Seen(gang, heartbeat, now)
        elif heartbeat is not None and heartbeat != seen.heartbeat:
            seen.heartbeat, seen.age = heartbeat, 0.0
        else:
            seen.age += min(now - seen.looked, self._longest_step)
        seen.looked = now
        return seen.age

    def forget(self, key: JobKey) -> None:
        """The job is gone."""
        self._seen.pop(key, None)
