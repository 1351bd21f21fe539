"""Where the curves of a run go: a new tracker is one file and its row in `finetune_api.registries.TRACKERS`."""

from collections.abc import Callable
from pathlib import Path

from finetune_api.plan import Plan
from finetune_api.registries import TRACKERS, implemented
from finetune_trainer.registry import Registry
from finetune_trainer.run.trackers.interface import Tracker

__all__ = ["Tracker", "open_trackers"]

_registry: Registry[Callable[[Plan, Path], Tracker | None]] = Registry(__name__, "tracker", TRACKERS)


def open_trackers(plan: Plan, history: Path) -> list[Tracker]:
    """All trackers that find themselves asked for, by the environment variables of their libraries.

    `history` is where the run's own history goes.
    """
    opened = (_registry.find(name)(plan, history) for name in implemented(TRACKERS))
    return [tracker for tracker in opened if tracker is not None]
