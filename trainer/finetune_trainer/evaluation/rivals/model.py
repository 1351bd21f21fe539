"""A causal language model, or an adapter on one, with the job's own prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finetune_api.common import ModelReference
from finetune_api.evaluate import Rival
from finetune_api.report import ModelDescription
from finetune_trainer.context import StageContext
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.answers import SystemAnswers, answer_all, count_answers
from finetune_trainer.evaluation.rivals.interface import OnBatch, OpenRival
from finetune_trainer.models import ModelChoice, referenced_model
from finetune_trainer.tasks import TestSet
from finetune_trainer.workspace.storage import local_path

_ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


def open_model(context: StageContext, rival: Rival, field: str, test_sets: Sequence[TestSet]) -> OpenRival:
    """See OpenFunction."""
    choice, adapter = _choose(rival, field, context.workspace)
    named = replace(choice, name=rival.name, path=rival.model.uri if rival.model else "")

    def answer(on_batch: OnBatch) -> SystemAnswers:
        answers = answer_all(context, named, test_sets, on_batch, adapter)
        answers.description = answers.description.model_copy(update={"type": rival.kind})
        return answers

    description = ModelDescription(name=rival.name, path=named.path, type=rival.kind)
    return OpenRival(description=description, answer=answer, decoded=count_answers(test_sets))


def _choose(rival: Rival, field: str, workspace: Path) -> tuple[ModelChoice, Path | None]:
    """The model to load, and the adapter to add to it, if the folder is that of an adapter."""
    if rival.model is None:
        raise BadConfiguration("NoModel", f"{field}: the rival has no model", f"Give {field}.model.uri.")
    folder = local_path(rival.model.uri, f"{field}.model.uri")
    config = folder / _ADAPTER_CONFIG
    if not config.is_file():
        return referenced_model(rival.model, f"{field}.model", workspace), None
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        raise BadConfiguration(
            "ModelNotFound",
            f"{field}.model.uri: {folder} has {_ADAPTER_CONFIG}, but no {_ADAPTER_WEIGHTS}",
            "Name the folder that PEFT saved, with its weights as safetensors.",
        )
    if rival.base is not None:
        return referenced_model(rival.base, f"{field}.base", workspace), folder
    return referenced_model(_named_base(config, field), f"{field}.model", workspace), folder


def _named_base(config: Path, field: str) -> ModelReference:
    """The base that an adapter's files name, where it is here.

    Raises:
        BadConfiguration: if they name none, or one that is not on this machine.
    """
    try:
        named = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path")
        reference = ModelReference(uri=named)
    except (OSError, ValueError, AttributeError):
        named = reference = None
    if reference is None or not (local_path(reference.uri, field) / "config.json").is_file():
        raise BadConfiguration(
            "BaseOfAdapterNotFound",
            f"{field}.model.uri: the base of the adapter in {config.parent} is {named or 'not named'}, "
            "which is no folder of a model here",
            f"Name it in {field}.base.uri.",
        )
    return reference
