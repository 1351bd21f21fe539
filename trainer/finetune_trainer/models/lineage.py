"""Which models a job has: the one it starts from, and one of each training stage that has run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finetune_api.common import ModelReference
from finetune_api.gguf_file import is_gguf
from finetune_api.plan import Plan
from finetune_api.stages import PIPELINE, model_stages
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models.gguf import gguf_folder
from finetune_trainer.models.heads import LANGUAGE_HEAD, Head
from finetune_trainer.workspace.storage import local_path, model_folder


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model, not loaded yet."""

    name: str
    """For people: adapted, pretrained, or the URI."""
    path: str
    """As reports show it: artifact path or URI."""
    folder: Path
    """On this machine."""
    field: str
    """Where the manifest names it."""
    head: Head = LANGUAGE_HEAD
    """That it is loaded with."""


def models_of_job(plan: Plan, workspace: Path) -> list[ModelChoice]:
    """All models before the stage of `plan`, the newest last.

    Raises:
        BadConfiguration: if spec.model.from leads nowhere.
    """
    given = plan.spec.model.from_
    original = [] if given is None else [referenced_model(given, "spec.model.from", workspace)]
    trained = [
        ModelChoice(PIPELINE[stage].result, plan.inputs[stage], workspace / plan.inputs[stage], f"the {stage} stage")
        for stage in model_stages()
        if stage in plan.inputs
    ]
    return original + trained


def newest_model(plan: Plan, workspace: Path) -> ModelChoice:
    """The model that the stage of `plan` goes on from.

    Raises:
        BadConfiguration: if there is none.
    """
    models = models_of_job(plan, workspace)
    if not models:
        raise BadConfiguration(
            "NoModel",
            f"spec.{plan.stage}: there is no model to start from",
            "Add a pretrain block, or give spec.model.from.",
        )
    return models[-1]


def referenced_model(reference: ModelReference, field: str, workspace: Path) -> ModelChoice:
    """The model that a field of the spec names; that of a GGUF file becomes a folder in the workspace.

    Raises:
        BadConfiguration: if it leads nowhere.
    """
    path = local_path(reference.uri, f"{field}.uri")
    if is_gguf(path):
        folder = gguf_folder(path, f"{field}.uri", workspace)
    else:
        folder = model_folder(reference.uri, f"{field}.uri")
    return ModelChoice(reference.uri, reference.uri, folder, field)
