"""The adapt stage: train a model, or an adapter of it, on prompts of one task."""

from __future__ import annotations

import shutil
from pathlib import Path

from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Adapt
from finetune_api.training import Curriculum as CurriculumSettings
from finetune_trainer.adaptation.base import base_model, check_tokenizer
from finetune_trainer.adaptation.data import AdaptationData, build_data
from finetune_trainer.adaptation.lora import add_lora, merged_model, save_adapter
from finetune_trainer.artifacts import run_identity, stage_digests, write_artifact
from finetune_trainer.batching import Layout, MixtureSource, make_layout, validation_batches
from finetune_trainer.checkpoint import Checkpointer
from finetune_trainer.context import StageContext
from finetune_trainer.curriculum import create_curriculum
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.engine import Engine, create_engine
from finetune_trainer.engine.process_group import barrier, seed_everything
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.models import check_fit, load_model, save_model
from finetune_trainer.run.loop import train
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.settings import TrainOutcome, TrainSettings, ValidationSets
from finetune_trainer.stages import StageOutcome

ARTIFACT = "models/adapt"
ADAPTER = "adapter"
"""Folder of the adapter within the artifact, in peft's format."""


def run(context: StageContext) -> StageOutcome:
    """Adapt; every rank trains, rank 0 writes the artifact."""
    plan = context.plan
    adapt = _supported(plan.spec.adapt)
    folder, name = base_model(plan, context.workspace)
    context.progress.update(phase="Loading")
    data = PreparedData.open(context.workspace, plan.inputs["prepare"])
    tokenizer = data.tokenizer()
    layout = make_layout(adapt.batch, context, plan.micro_batch_divisor, data.pad_id)
    model = load_model(folder)
    check_fit(model, tokenizer, adapt.batch.sequence_length)
    check_tokenizer(folder, tokenizer)
    trained = add_lora(model, adapt.lora, adapt.seed, name) if adapt.method == "LoRA" else model

    context.progress.update(phase="Reading")
    examples = build_data(adapt, data)
    engine = create_engine(trained, plan.spec.parallelism, adapt.optimizer, context.device)
    checkpointer = Checkpointer(
        context.workspace / "checkpoints" / "adapt",
        plan.spec.checkpoint,
        context,
        run_identity(plan, context.workspace),
    )
    outcome = _train(context, adapt, engine, examples, layout, checkpointer)
    best = checkpointer.best() if outcome.best is not None else None
    best_step = best.step if best is not None else outcome.state.step

    context.progress.update(phase="Writing")
    weights = outcome.weights(engine, trainable_only=isinstance(trained, PeftModel))
    if context.is_main:
        with write_artifact(context, ARTIFACT, plan, stage_digests(plan, context.workspace)) as target:
            _save(target, folder, engine, weights, tokenizer)
            shutil.copyfile(outcome.history, target / "history.jsonl")
    barrier()
    checkpointer.clear()
    return StageOutcome(
        artifact=ARTIFACT,
        summary=outcome.summary() | examples.counts | {"bestStep": float(best_step)},
        message=describe(outcome, len(examples.train), best_step, adapt),
        productive_seconds=context.progress.productive_seconds,
    )


def _supported(adapt: Adapt | None) -> Adapt:
    if adapt is None:
        raise BadConfiguration("NoAdaptBlock", "the spec has no adapt block", "Add spec.adapt.")
    refused = [
        (adapt.method not in ("LoRA", "Full"), f"spec.adapt.method: {adapt.method}", "Use LoRA or Full."),
        (adapt.task.type != "Translation", f"spec.adapt.task.type: {adapt.task.type}", "Use Translation."),
        (adapt.hints is not None, "spec.adapt.hints", "Remove it."),
        (adapt.prompts.dictionary is not None, "spec.adapt.prompts.dictionary", "Remove it."),
        (not set(adapt.prompts.shots) <= {0, 1}, "spec.adapt.prompts.shots above 1", "Use 0 and 1."),
    ]
    for is_refused, what, remedy in refused:
        if is_refused:
            raise BadConfiguration("NotSupported", f"{what} is not supported yet", remedy)
    return adapt


def _train(
    context: StageContext,
    adapt: Adapt,
    engine: Engine,
    examples: AdaptationData,
    layout: Layout,
    checkpointer: Checkpointer,
) -> TrainOutcome:
    if adapt.early_stopping is not None and not examples.validation:
        raise BadData(
            "EmptyValidationSplit",
            "spec.adapt.earlyStopping watches the validation loss, but the validation split of "
            f"'{adapt.task.source}' is empty",
            "Raise spec.data.split.validation, or remove earlyStopping.",
        )
    arm = adapt.task.direction or "adapt"
    curriculum = CurriculumSettings(strategy="Fixed")
    source = MixtureSource(
        {arm: examples.train}, create_curriculum(curriculum, {arm: 1.0}), curriculum, layout, adapt.seed
    )
    settings = TrainSettings(
        optimizer=adapt.optimizer,
        budget=Budget(examples=max(1, round(adapt.epochs * len(examples.train)))),
        validate_every_steps=adapt.validate_every_steps,
        early_stopping=adapt.early_stopping,
        select_best=bool(examples.validation) and context.plan.spec.checkpoint.keep_best > 0,
        skip_steps=context.plan.skip_steps,
    )
    validation: ValidationSets = {name: validation_batches(part, layout) for name, part in examples.validation.items()}
    history = context.workspace / "logs" / "adapt-history.jsonl"
    seed_everything(adapt.seed, context.rank)
    return train(context, engine, source, validation, settings, checkpointer, history)


def _save(
    target: Path, base: Path, engine: Engine, weights: dict[str, Tensor], tokenizer: PreTrainedTokenizerBase
) -> None:
    """Write a whole model, and the adapter beside it if that is what was trained."""
    model = engine.model
    if isinstance(model, PeftModel):
        save_adapter(target / ADAPTER, model, weights)
        merged = merged_model(base, target / ADAPTER)
        save_model(target, merged, merged.state_dict())
    else:
        save_model(target, model, weights)  # type: ignore[arg-type]
    tokenizer.save_pretrained(target)


def describe(outcome: TrainOutcome, examples: int, best_step: int, adapt: Adapt) -> str:
    """One line: `2,000 examples · 1 epoch · loss 3.10 → 2.60 · validation 2.71 (best at step 120)`."""
    state, summary = outcome.state, outcome.summary()
    # The last batch is a whole one: it may reach into the next epoch.
    epochs = f"{min(state.examples / examples, adapt.epochs):.2g}"
    parts = [f"{examples:,} examples", f"{epochs} epoch{'' if epochs == '1' else 's'}"]
    if "firstLoss" in summary and "loss" in summary:
        parts.append(f"loss {summary['firstLoss']:.2f} → {summary['loss']:.2f}")
    if "validationLoss" in summary:
        parts.append(f"validation {summary['validationLoss']:.2f} (best at step {best_step:,})")
    stopping = adapt.early_stopping
    if stopping is not None and state.validations_without_improvement >= stopping.patience:
        parts.append(f"stopped early at step {state.step:,}")
    return " · ".join(parts)
