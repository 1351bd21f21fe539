"""Curricula: which arm is drawn next. A new one is one file and its row in `finetune_api.registries.CURRICULA`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from finetune_api.registries import CURRICULA
from finetune_api.training import Curriculum as CurriculumSettings
from finetune_trainer.curriculum.interface import ArmFacts, Curriculum, Feedback, choose
from finetune_trainer.registry import Registry

__all__ = ["ArmFacts", "Curriculum", "Feedback", "choose", "create_curriculum"]

_registry: Registry[Callable[[Mapping[str, ArmFacts], CurriculumSettings], Curriculum]] = Registry(
    __name__, "strategy", CURRICULA
)


def create_curriculum(settings: CurriculumSettings, arms: Mapping[str, ArmFacts]) -> Curriculum:
    """The curriculum that `settings` ask for over `arms`."""
    return _registry.find(settings.strategy)(arms, settings)
