"""Objectives of training: a new one is one file and its row in `finetune_api.registries.OBJECTIVES`."""

from collections.abc import Mapping, Sequence

from finetune_api.data import DataSource
from finetune_api.registries import OBJECTIVES
from finetune_api.training import Objective as ObjectiveSettings
from finetune_trainer.objectives.interface import Arm, Batch, ExampleSet, LossSum, Objective
from finetune_trainer.registry import Registry

__all__ = ["Arm", "Batch", "ExampleSet", "LossSum", "Objective", "arm_weights", "find_objective", "list_arms"]

_registry: Registry[type[Objective]] = Registry(__name__, "objective", OBJECTIVES)


def find_objective(name: str) -> Objective:
    """The objective of that name."""
    return _registry.find(name)()


def list_arms(objectives: Sequence[ObjectiveSettings], sources: Sequence[DataSource]) -> list[Arm]:
    """All arms, in the order of the spec.

    Raises:
        BadConfiguration: if an objective and its source do not go together.
    """
    by_name = {source.name: source for source in sources}
    return [
        arm
        for index, settings in enumerate(objectives)
        for arm in find_objective(settings.type).arms(
            settings, by_name[settings.source], f"pretrain.objectives[{index}]"
        )
    ]


def arm_weights(arms: Sequence[Arm]) -> Mapping[str, float]:
    """Start weight by arm; the arms of one objective share its weight."""
    shares = [sum(other.settings is arm.settings for other in arms) for arm in arms]
    return {arm.name: arm.settings.weight / share for arm, share in zip(arms, shares, strict=True)}
