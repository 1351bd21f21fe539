"""Metrics: a new one is one file and its row in `finetune_api.registries.METRICS`."""

from collections.abc import Callable

from finetune_api.registries import METRICS
from finetune_trainer.metrics.alternatives import BETWEEN, joined, parted
from finetune_trainer.metrics.interface import Alternatives, Metric, Statistics
from finetune_trainer.registry import Registry

__all__ = ["BETWEEN", "Alternatives", "Metric", "Statistics", "create_metric", "joined", "parted"]

_registry: Registry[Callable[[str], Metric]] = Registry(__name__, "metric", METRICS)


def create_metric(name: str, language: str) -> Metric:
    """The metric of that name for references in `language`."""
    return _registry.find(name)(language)
