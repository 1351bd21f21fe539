"""Curricula: which arm is drawn next. A new strategy is one file and one line in the registry."""

from __future__ import annotations

from collections.abc import Callable

from finetune_api.training import Curriculum as CurriculumSettings
from finetune_trainer.curriculum.contract import Curriculum, choose
from finetune_trainer.curriculum.fair import Fair
from finetune_trainer.curriculum.fixed import Fixed
from finetune_trainer.errors import BadConfiguration

_REGISTRY: dict[str, Callable[[dict[str, float], CurriculumSettings], Curriculum]] = {
    "Fixed": Fixed,
    "FAIR": Fair,
}


def create_curriculum(settings: CurriculumSettings, weights: dict[str, float]) -> Curriculum:
    """The curriculum that `settings` ask for over the arms of `weights`.

    Raises:
        BadConfiguration: if the strategy is not implemented.
    """
    if settings.strategy not in _REGISTRY:
        raise BadConfiguration(
            "NotSupported",
            f"pretrain.curriculum.strategy: {settings.strategy} is not supported yet",
            f"Use one of {', '.join(_REGISTRY)}.",
        )
    return _REGISTRY[settings.strategy](weights, settings)


__all__ = ["Curriculum", "choose", "create_curriculum"]
