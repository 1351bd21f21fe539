"""Tasks: a new one is a file, or a folder of them, and its row in `finetune_api.registries.TASKS`."""

from typing import Any

from finetune_api.registries import TASKS
from finetune_trainer.registry import Registry
from finetune_trainer.tasks.interface import (
    Candidate,
    Grouping,
    Predictions,
    System,
    Task,
    TestSet,
    TrainingData,
)

__all__ = [
    "Candidate",
    "Grouping",
    "Predictions",
    "System",
    "Task",
    "TestSet",
    "TrainingData",
    "find_task",
]

_registry: Registry[type[Task[Any]]] = Registry(__name__, "task", TASKS)


def find_task(name: str) -> Task[Any]:
    """The task of that type."""
    return _registry.find(name)()
