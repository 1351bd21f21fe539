"""Systems beside the baseline: a new type is one file and its row in `finetune_api.registries.RIVALS`."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.evaluate import Rival
from finetune_api.registries import RIVALS
from finetune_trainer.context import StageContext
from finetune_trainer.errors import BadConfiguration, BadData, raise_together
from finetune_trainer.evaluation.rivals.interface import OpenFunction, OpenRival
from finetune_trainer.registry import Registry
from finetune_trainer.tasks import TestSet

__all__ = ["OpenRival", "open_rivals"]

_registry: Registry[OpenFunction] = Registry(__name__, "rival", RIVALS)


def open_rivals(context: StageContext, rivals: Sequence[Rival], test_sets: Sequence[TestSet]) -> list[OpenRival]:
    """Look at all rivals, so that what is wrong is known before anything is decoded.

    Raises:
        BadConfiguration, BadData: with the problems of all rivals at once.
    """
    opened, problems = [], []
    for index, rival in enumerate(rivals):
        answerable = [t for t in test_sets if t.task.type in RIVALS[rival.kind].tasks]
        try:
            opened.append(_registry.find(rival.kind)(context, rival, f"spec.evaluate.rivals[{index}]", answerable))
        except (BadConfiguration, BadData) as error:
            problems.append(error)
    raise_together(problems)
    return opened
