"""Which models are compared, and loading them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from finetune_api.plan import Plan
from finetune_trainer.context import StageContext
from finetune_trainer.models import (
    ModelChoice,
    Placement,
    check_fit,
    load_model,
    load_tokenizer,
    models_of_job,
    newest_model,
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
    """Why there is no baseline."""


def choose_systems(plan: Plan, workspace: Path) -> Comparison:
    """The last trained model, and as its baseline: what the manifest names, else the model before the last training.

    Raises:
        BadConfiguration: there is no model, or none where the manifest says.
    """
    newest, models = newest_model(plan, workspace), models_of_job(plan, workspace)
    named = plan.spec.evaluate.baseline.model if plan.spec.evaluate else None
    if named is not None:
        return Comparison(newest, referenced_model(named, "spec.evaluate.baseline.model"))
    if len(models) > 1:
        return Comparison(newest, models[-2])
    is_trained = plan.spec.model.from_ is None
    why = (
        "the model was pre-trained from random weights and not adapted"
        if is_trained
        else "the model was not trained here"
    )
    return Comparison(newest, None, f"No baseline: {why}. Name one in spec.evaluate.baseline.model to compare with it.")


def load_system(
    context: StageContext, choice: ModelChoice, model_class: str, on_batch: Callable[[int], None]
) -> System:
    """The model, ready to answer, and its own tokenizer.

    Raises:
        BadConfiguration: no model or no tokenizer in its folder, or the two do not belong together.
    """
    plan, device = context.plan, context.device
    dtype = torch.bfloat16 if wants_bf16(plan.spec.parallelism.precision, device) else torch.float32
    tokenizer = load_tokenizer(choice.folder, choice.field)
    model = load_model(choice.folder, choice.field, model_class, Placement(dtype, device))
    check_fit(model, tokenizer)
    batch_size = plan.spec.evaluate.batch_size if plan.spec.evaluate else None
    return System(model.eval(), tokenizer, context.ranks, batch_size, on_batch)
