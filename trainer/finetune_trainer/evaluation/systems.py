"""Which models are compared, and loading them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from finetune_api.plan import Plan
from finetune_api.pretrained import read_pretrained
from finetune_api.registries import TASKS
from finetune_api.registry_rows import LANGUAGE_MODEL
from finetune_trainer.context import StageContext
from finetune_trainer.models import (
    Head,
    ModelChoice,
    Placement,
    check_fit,
    load_model,
    load_tokenizer,
    models_of_job,
    newest_model,
    quiet,
    referenced_model,
    wants_bf16,
)
from finetune_trainer.tasks import System


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is scored and what it is compared with."""

    model: ModelChoice
    baseline: ModelChoice | None
    note: str = ""
    """Why there is no baseline, or not a model's."""
    without_model: bool = False
    """The baseline is what can be said without a model."""


def choose_systems(plan: Plan, workspace: Path) -> Comparison:
    """The last trained model, and as its baseline: what the manifest names, else the model before the last training.

    Raises:
        BadConfiguration: there is no model, or none where the manifest says.
    """
    newest, models = newest_model(plan, workspace), models_of_job(plan, workspace)
    named = plan.spec.evaluate.baseline.model if plan.spec.evaluate else None
    if named is not None:
        return Comparison(newest, referenced_model(named, "spec.evaluate.baseline.model", workspace))
    if len(models) > 1:
        return _against_model_before(plan, newest, models[-2])
    is_trained = plan.spec.model.from_ is None
    why = (
        "the model was pre-trained from random weights and not adapted"
        if is_trained
        else "the model was not trained here"
    )
    return Comparison(newest, None, f"No baseline: {why}. Name one in spec.evaluate.baseline.model to compare with it.")


def _against_model_before(plan: Plan, newest: ModelChoice, before: ModelChoice) -> Comparison:
    """A body without a head has nothing to answer with: it would be a head of random numbers that is compared with."""
    task = TASKS[plan.spec.evaluate.tasks[0].type] if plan.spec.evaluate else TASKS["Translation"]
    needed = task.model_class
    found = read_pretrained(before.folder)
    if needed == LANGUAGE_MODEL or (found is not None and found.head == needed):
        return Comparison(newest, before)
    if not task.has_guess:
        note = (
            "No baseline: the model before adaptation has no head that could answer. Name a model that was trained for "
            "the task in spec.evaluate.baseline.model to compare with it."
        )
        return Comparison(newest, None, note)
    note = (
        "The baseline is no model: the one before adaptation has no head that could answer, so it is what the training "
        "split says most often."
    )
    return Comparison(newest, None, note, without_model=True)


def load_system(
    context: StageContext,
    choice: ModelChoice,
    model_class: str,
    on_batch: Callable[[int], None],
    adapter: Path | None = None,
) -> System:
    """The model, with the adapter in a folder merged into it if one is given, ready to answer, and its tokenizer.

    Raises:
        BadConfiguration: no model or no tokenizer in its folder, or the two do not belong together.
    """
    plan, device = context.plan, context.device
    dtype = torch.bfloat16 if wants_bf16(plan.spec.parallelism.precision, device) else torch.float32
    tokenizer = load_tokenizer(choice.folder, choice.field)
    # An adapter is added in full precision, whatever the model answers in.
    model = load_model(
        choice.folder, choice.field, Head(model_class), Placement(torch.float32 if adapter else dtype, device)
    )
    if adapter is not None:
        model = _with_adapter(model, adapter).to(dtype)  # type: ignore[arg-type, unused-ignore]
    check_fit(model, tokenizer)
    batch_size = plan.spec.evaluate.batch_size if plan.spec.evaluate else None
    return System(model.eval(), tokenizer, context.ranks, batch_size, on_batch)


def _with_adapter(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """The model with the adapter in a folder, as PEFT saves it, added to its weights."""
    with quiet():
        merged: PreTrainedModel = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return merged
