"""pretrain: train a model on a mixture of objectives."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from finetune_api.figures import count
from finetune_api.training import Pretrain
from finetune_api.transformer import TransformerShape, shape_of_model, shape_of_scratch
from finetune_trainer.batching import ArmExamples
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import (
    Weights,
    check_fit,
    context_length,
    load_model,
    newest_model,
    place_weights,
    save_model,
    saved_dtype,
    scratch_model,
    wants_bf16,
)
from finetune_trainer.objectives import Arm, arm_weights, find_objective, list_arms
from finetune_trainer.objectives.interface import Split
from finetune_trainer.run.micro_batch import check_host_memory, fit_batch, training_shape
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.settings import TrainOutcome, TrainSettings
from finetune_trainer.run.stage import TrainingRecipe, train_stage
from finetune_trainer.stages import artifact_path, input_digests

_log = logging.getLogger(__name__)


def run(context: StageContext) -> StageOutcome:
    """Build data and model; train; write the model. Every rank calls it."""
    plan = context.plan
    pretrain = plan.spec.pretrain
    if pretrain is None:
        raise BadConfiguration("NoPretrainBlock", "the spec has no pretrain block", "Add spec.pretrain.")
    pretrain = pretrain.model_copy(update={"batch": pretrain.batch.fit(_context_length(context))})
    if context.ranks.is_main:
        _log.info("rows of %d tokens", pretrain.batch.tokens_per_row)
    context.progress.update(phase="Reading")
    data = PreparedData.open(context.workspace, plan.inputs["prepare"])
    arms = list_arms(pretrain.objectives, plan.spec.data.sources)

    def examples(split: Split) -> dict[str, ArmExamples]:
        longest = pretrain.batch.tokens_per_row
        objectives = {arm.name: find_objective(arm.settings.type) for arm in arms}
        return {
            arm.name: ArmExamples(objectives[arm.name], objectives[arm.name].examples(arm, data, split, longest))
            for arm in arms
        }

    train, validation = examples("train"), examples("validation")
    context.progress.update(phase="Loading")
    tokenizer = data.tokenizer()
    dtype = _artifact_dtype(context)

    def save(folder: Path, model: nn.Module, weights: Weights) -> None:
        save_model(folder, model, weights, dtype)  # type: ignore[arg-type]  # what `_model` made
        tokenizer.save_pretrained(folder)

    shape = _shape(context, len(tokenizer))
    check_host_memory(context, shape)
    choice = fit_batch(context, pretrain.batch, training_shape(context, shape, None))
    recipe = TrainingRecipe(
        model=_model(context, tokenizer, pretrain),
        choice=choice,
        arms=train,
        weights=arm_weights(arms),
        validation=validation,
        settings=_settings(context, pretrain, data.pad_id),
        save=save,
        describe=lambda outcome: _describe(outcome, arms),
    )
    return train_stage(context, recipe, artifact_path(plan), input_digests(plan, context.workspace))


def _settings(context: StageContext, pretrain: Pretrain, pad: int) -> TrainSettings:
    return TrainSettings(
        batch=pretrain.batch,
        optimizer=pretrain.optimizer,
        curriculum=pretrain.curriculum,
        budget=Budget(tokens=pretrain.budget.tokens, seconds=pretrain.budget.seconds),
        seed=pretrain.seed,
        pad=pad,
        validate_every_steps=pretrain.validate_every_steps,
        skip_steps=context.plan.skip_steps,
    )


def _context_length(context: StageContext) -> int | None:
    scratch = context.plan.spec.model.scratch
    return scratch.context_length if scratch else context_length(newest_model(context.plan, context.workspace).folder)


def _model(context: StageContext, tokenizer: PreTrainedTokenizerBase, pretrain: Pretrain) -> PreTrainedModel:
    scratch = context.plan.spec.model.scratch
    placement = place_weights(context.plan.spec.parallelism, context.ranks.size, context.device, adapter=False)
    if scratch is not None:
        return scratch_model(scratch, tokenizer, pretrain.seed, placement)
    base = newest_model(context.plan, context.workspace)
    model = load_model(base.folder, base.field, placement=placement)
    check_fit(model, tokenizer, pretrain.batch.tokens_per_row)
    return model


def _shape(context: StageContext, tokens: int) -> TransformerShape | None:
    scratch = context.plan.spec.model.scratch
    if scratch is not None:
        return shape_of_scratch(scratch, tokens)
    return shape_of_model(newest_model(context.plan, context.workspace).folder)


def _artifact_dtype(context: StageContext) -> torch.dtype:
    """As the model came, a new one as it is computed: not as one engine or another keeps it."""
    if context.plan.spec.model.scratch is None:
        return saved_dtype(newest_model(context.plan, context.workspace).folder)
    is_narrow = wants_bf16(context.plan.spec.parallelism.precision, context.device)
    return torch.bfloat16 if is_narrow else torch.float32


def _describe(outcome: TrainOutcome, arms: Sequence[Arm]) -> str:
    """`1.2 M tokens · loss 7.62 → 4.11 · mixture en 31% es 29% en→es 40%`."""
    state = outcome.state
    parts = [f"{count(state.tokens)} tokens"]
    if state.first_loss is not None and state.loss is not None:
        parts.append(f"loss {state.first_loss:.2f} → {state.loss:.2f}")
    mixture = outcome.mixture()
    if len(arms) > 1:
        parts.append("mixture " + " ".join(f"{arm.label} {mixture.get(arm.name, 0.0):.0%}" for arm in arms))
    if state.nonfinite_steps:
        parts.append(f"{state.nonfinite_steps} steps left out (loss not finite)")
    return " · ".join(parts)
