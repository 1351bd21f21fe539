"""The one training stage: what all of them have in common."""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from finetune_api.micro_batch import Choice
from finetune_api.training import Batch
from finetune_trainer.batching import ArmExamples, MixtureSource, draw_ahead, make_layout, validation_batches
from finetune_trainer.batching.layout import Layout
from finetune_trainer.checkpoint import Checkpointer
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.curriculum import ArmFacts, create_curriculum
from finetune_trainer.engine import create_engine
from finetune_trainer.models import Weights
from finetune_trainer.models.activation_checkpointing import checkpoint_activations
from finetune_trainer.models.fused_kernels import use_fused_kernels
from finetune_trainer.models.segment_attention import base_model, use_segment_attention
from finetune_trainer.run.compilation import compile_where_it_pays
from finetune_trainer.run.loop import train
from finetune_trainer.run.settings import TrainOutcome, TrainSettings
from finetune_trainer.run.trial import try_micro_batch
from finetune_trainer.workspace.artifacts import run_identity, write_artifact

HISTORY = "history.jsonl"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """What a training stage is, beside all others."""

    model: nn.Module
    """Where `place_weights` has it, the same on every rank; parameters that are not trained ask for no gradients."""
    choice: Choice
    """How many rows at once, and what of their activations is kept."""
    arms: Mapping[str, ArmExamples]
    weights: Mapping[str, float]
    """Start weight by arm."""
    validation: Mapping[str, ArmExamples]
    settings: TrainSettings
    save: Callable[[Path, nn.Module, Weights], None]
    """Write the artifact: (folder, model, weights in full shape, one at a time); on rank 0."""
    describe: Callable[[TrainOutcome], str]
    """One line for the terminal."""
    rate_scales: Mapping[str, float] = field(default_factory=dict)
    """For `engine.optimizer.build_optimizer`."""
    figures: Callable[[TrainOutcome], dict[str, float]] = TrainOutcome.summary
    """For StageResult.summary."""


def train_stage(context: StageContext, recipe: TrainingRecipe, artifact: str, inputs: dict[str, str]) -> StageOutcome:
    """Train, write the model as `artifact`, clear the checkpoints. Every rank calls it.

    `inputs` are the digests of what the stage reads: a checkpoint made from others is not resumed.

    Raises:
        BadConfiguration, BadData: if batch, data and model do not go together.
        Preempted, NonFiniteLoss: see `train`.
    """
    plan, settings, workspace = context.plan, recipe.settings, context.workspace
    context.progress.update(phase="Loading")
    layout = make_layout(_batch(settings.batch, recipe), context.ranks, plan.micro_batch_divisor, settings.pad)
    layout = replace(layout, micro_batch=recipe.choice.micro_batch)
    checkpoint_activations(recipe.model, recipe.choice.kept)
    settings = replace(settings, training=recipe.choice.training)
    sets = [*recipe.arms.values(), *recipe.validation.values()]
    layout = replace(layout, micro_batch=try_micro_batch(context, recipe.model, recipe.arms, layout, settings))
    _fuse(context, recipe, layout, settings)
    engine = create_engine(
        context,
        recipe.model,
        {arm.objective.name: arm.objective.loss for arm in sets},
        settings.optimizer,
        recipe.rate_scales,
    )
    checkpointer = Checkpointer(
        workspace / plan.path("checkpoints") / plan.stage, plan.spec.checkpoint, context, run_identity(plan, inputs)
    )
    curriculum = create_curriculum(settings.curriculum, _facts(recipe))
    source = draw_ahead(
        MixtureSource(recipe.arms, curriculum, settings.curriculum, layout, settings.seed), context.device
    )
    validation = {name: validation_batches(arm, layout) for name, arm in recipe.validation.items() if len(arm.examples)}
    # Dropout differs by rank; order of data and initialisation do not use torch's generators.
    torch.manual_seed(settings.seed * 10_007 + context.ranks.rank)
    history = workspace / plan.path("logs") / f"{plan.stage}-{HISTORY}"
    outcome = train(context, engine, source, validation, settings, checkpointer, history)

    context.progress.update(phase="Writing")
    weights = outcome.weights(engine, settings.trains_adapter)
    try:
        if context.ranks.is_main:
            with write_artifact(workspace, artifact, plan, inputs) as folder:
                recipe.save(folder, engine.model, weights)
                shutil.copyfile(outcome.history, folder / HISTORY)
    finally:
        deque(weights, maxlen=0)  # every rank takes part in gathering each of them, whatever became of the files
    context.ranks.barrier()
    checkpointer.clear()
    return StageOutcome(
        artifact=artifact,
        summary=recipe.figures(outcome),
        message=recipe.describe(outcome),
        productive_seconds=context.progress.productive_seconds,
    )


def _fuse(context: StageContext, recipe: TrainingRecipe, layout: Layout, settings: TrainSettings) -> None:
    """Small operations become fewer: by the compiler, or else by kernels that somebody wrote."""
    if compile_where_it_pays(context, recipe.model, recipe.arms, layout, settings):
        return
    if context.device.type == "cuda" and context.plan.spec.parallelism.fused_kernels == "Auto":
        found = use_fused_kernels(recipe.model, context.device)
        if context.ranks.is_main:
            _log.info("%s", found)


def _batch(batch: Batch, recipe: TrainingRecipe) -> Batch:
    """The batch, without packing if examples could not be kept apart in a row of it."""
    model = recipe.model
    if any(arm.objective.is_padded for arm in recipe.arms.values()):
        return batch.model_copy(update={"packing": False})
    if use_segment_attention(model) or not batch.packing:
        return batch
    _log.warning(
        "batch.packing: examples of a %s model are not packed, each is a row of its own: its attention is not "
        "known to keep them apart",
        base_model(model).config.model_type,
    )
    return batch.model_copy(update={"packing": False})


def _facts(recipe: TrainingRecipe) -> dict[str, ArmFacts]:
    return {
        name: ArmFacts(recipe.weights[name], len(arm.examples), int(arm.examples.lengths.sum()))
        for name, arm in recipe.arms.items()
    }
