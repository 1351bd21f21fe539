"""adapt: train a model, or an adapter of it, on the examples of one task."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Adapt
from finetune_api.evaluate import EvaluationTask
from finetune_api.registries import METHODS, TASKS
from finetune_api.steps import FEW_STEPS, expected_steps, few_steps
from finetune_api.training import Curriculum
from finetune_api.transformer import shape_of_model
from finetune_trainer.batching import ArmExamples
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.methods import find_method
from finetune_trainer.models import (
    Weights,
    check_fit,
    check_vocabulary,
    context_length,
    fit_to_model,
    newest_model,
    place_weights,
)
from finetune_trainer.objectives import find_objective
from finetune_trainer.run.micro_batch import check_host_memory, fit_batch, training_shape
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.scorer import Scorer
from finetune_trainer.run.settings import TrainOutcome, TrainSettings
from finetune_trainer.run.stage import TrainingRecipe, train_stage
from finetune_trainer.stages import artifact_path, input_digests, open_data
from finetune_trainer.tasks import TrainingData, find_task

_log = logging.getLogger(__name__)
PROOF_ROWS, PROOF_TOKENS = 4, 128
"""Examples on which a merged adapter is held to the one that was trained, and tokens of each."""


def run(context: StageContext) -> StageOutcome:
    """Adapt; every rank trains, rank 0 writes the artifact."""
    plan = context.plan
    adapt = plan.spec.adapt
    if adapt is None:
        raise BadConfiguration("NoAdaptBlock", "the spec has no adapt block", "Add spec.adapt.")
    method, task = find_method(adapt.method), find_task(adapt.task.type)
    base = newest_model(plan, context.workspace)
    if not TASKS[adapt.task.type].generates:  # what a head sees as a whole shares no row
        adapt = adapt.model_copy(update={"batch": adapt.batch.model_copy(update={"packing": False})})
    adapt = adapt.model_copy(update={"batch": adapt.batch.fit(context_length(base.folder))})
    context.progress.update(phase="Loading")
    data = open_data(plan, context.workspace)
    tokenizer = data.tokenizer()
    is_adapter = METHODS[adapt.method].adapter
    shape = shape_of_model(base.folder)
    check_host_memory(context, shape)
    training = training_shape(context, shape, adapt)
    choice = fit_batch(context, adapt.batch, training)
    placement = place_weights(plan.spec.parallelism, context.ranks.size, context.device, adapter=is_adapter)
    base = replace(base, head=fit_to_model(task.head(adapt, data), base.folder, base.field))
    model = method.load(base, placement)
    check_fit(model, tokenizer, adapt.batch.tokens_per_row)
    check_vocabulary(base.folder, base.field, tokenizer)

    context.progress.update(phase="Reading")
    examples = task.training_data(adapt, data, base.head)
    steps = expected_steps(adapt, int(examples.train.lengths.sum()), len(examples.train))
    if steps < FEW_STEPS:
        context.progress.update(message=few_steps(steps))
    objective = find_objective(examples.objective)
    proof: dict[str, float] = {}

    def save(folder: Path, model: nn.Module, weights: Weights) -> None:
        method.save(folder, model, weights, base)
        tokenizer.save_pretrained(folder)
        rows = [examples.train[index].tokens[:PROOF_TOKENS] for index in range(min(PROOF_ROWS, len(examples.train)))]
        proof.update(method.prove(folder, base, rows))

    scorer = _scorer(context, adapt, data, tokenizer)
    trained = method.wrap(model, adapt, base)
    if context.ranks.is_main:
        layers = {name.rpartition(".")[2]: None for name in getattr(trained, "targeted_module_names", ())}
        _log.info("rows of %d tokens; training %s", adapt.batch.tokens_per_row, ", ".join(layers) or "all weights")

    recipe = TrainingRecipe(
        model=trained,
        choice=choice,
        arms={examples.name: ArmExamples(objective, examples.train)},
        weights={examples.name: 1.0},
        validation={name: ArmExamples(objective, part) for name, part in examples.validation.items()},
        settings=_settings(context, adapt, examples, data.pad_id),
        save=save,
        rate_scales=method.rate_scales(adapt),
        describe=lambda outcome: describe(outcome, len(examples.train), adapt),
        scorer=scorer,
        figures=lambda outcome: outcome.summary() | examples.counts | {"bestStep": float(outcome.best_step)} | proof,
    )
    return train_stage(context, recipe, artifact_path(plan), input_digests(plan, context.workspace))


def _scorer(
    context: StageContext, adapt: Adapt, data: PreparedData, tokenizer: PreTrainedTokenizerBase
) -> Scorer | None:
    """What follows spec.adapt.evaluation, if there is one."""
    asked, task = adapt.evaluation, adapt.task
    if asked is None:
        return None
    test = EvaluationTask(
        name="validation",
        type=task.type,
        source=task.source,
        direction=task.direction,
        shots=[min(adapt.prompts.shots)],
        metrics=[TASKS[task.type].segment_metric],
        max_segments=asked.max_segments,
        max_new_tokens=asked.max_new_tokens,
    )
    found = find_task(task.type)
    test_set = found.validation_set(context.plan.spec, data, test)
    return Scorer(found, test_set, tokenizer, asked.every_steps)


def _settings(context: StageContext, adapt: Adapt, examples: TrainingData, pad: int) -> TrainSettings:
    if adapt.early_stopping is not None and not examples.validation:
        raise BadData(
            "EmptyValidationSplit",
            "spec.adapt.earlyStopping watches the validation loss, but the validation split of "
            f"'{adapt.task.source}' is empty",
            "Raise spec.data.split.validation, or remove earlyStopping.",
        )
    return TrainSettings(
        batch=adapt.batch,
        optimizer=adapt.optimizer,
        curriculum=Curriculum(strategy="Fixed"),
        budget=Budget(examples=max(1, round(adapt.epochs * len(examples.train)))),
        seed=adapt.seed,
        pad=pad,
        validate_every_steps=adapt.validate_every_steps,
        early_stopping=adapt.early_stopping,
        select_best=bool(examples.validation) and context.plan.spec.checkpoint.keep_best > 0,
        trains_adapter=METHODS[adapt.method].adapter,
        skip_steps=context.plan.skip_steps,
    )


def describe(outcome: TrainOutcome, examples: int, adapt: Adapt) -> str:
    """One line: `2,000 examples · 1 epoch · loss 3.10 → 2.60 · validation 2.71 (best at step 120)`."""
    state, summary = outcome.state, outcome.summary()
    # The last batch is a whole one: it may reach into the next epoch.
    epochs = f"{min(state.examples / examples, adapt.epochs):.2g}"
    parts = [f"{examples:,} examples", f"{epochs} epoch{'' if epochs == '1' else 's'}"]
    if "firstLoss" in summary and "loss" in summary:
        parts.append(f"loss {summary['firstLoss']:.2f} → {summary['loss']:.2f}")
    if "validationLoss" in summary:
        parts.append(f"validation {summary['validationLoss']:.2f} (best at step {outcome.best_step:,})")
    stopping = adapt.early_stopping
    if stopping is not None and state.validations_without_improvement >= stopping.patience:
        parts.append(f"stopped early at step {state.step:,}")
    elif state.step < FEW_STEPS:
        parts.append(few_steps(state.step))
    return " · ".join(parts)
