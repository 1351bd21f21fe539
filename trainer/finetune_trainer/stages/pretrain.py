"""The pretrain stage: train a model on a mixture of objectives."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from finetune_api.model import Model
from finetune_api.training import Pretrain
from finetune_trainer.artifacts import run_identity, stage_digests, write_artifact
from finetune_trainer.batching import Layout, MixtureSource, make_layout, validation_batches
from finetune_trainer.batching.arms import Arm, arm_examples, arm_weights, list_arms
from finetune_trainer.checkpoint import Checkpointer
from finetune_trainer.context import StageContext
from finetune_trainer.curriculum import create_curriculum
from finetune_trainer.data.locate import model_folder
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.engine import create_engine
from finetune_trainer.engine.process_group import barrier, seed_everything
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import check_fit, load_model, save_model, scratch_model
from finetune_trainer.run.loop import train
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.settings import TrainOutcome, TrainSettings, ValidationSets
from finetune_trainer.stages import StageOutcome

ARTIFACT = "models/pretrain"
HISTORY = "history.jsonl"


def run(context: StageContext) -> StageOutcome:
    """Build data, model and engine; train; write the model. Every rank calls it."""
    plan = context.plan
    settings = plan.spec.pretrain
    if settings is None:
        raise BadConfiguration("NoPretrainBlock", "the spec has no pretrain block", "Add spec.pretrain.")

    context.progress.update(phase="Reading")
    data = PreparedData.open(context.workspace, plan.inputs["prepare"])
    arms = list_arms(settings.objectives, plan.spec.data.sources)
    layout = make_layout(settings.batch, context, plan.micro_batch_divisor, data.pad_id)
    source = _source(settings, arms, data, layout)
    validation = _validation(arms, data, layout)

    context.progress.update(phase="Loading")
    tokenizer = data.tokenizer()
    model = _model(plan.spec.model, tokenizer, settings)
    seed_everything(settings.seed, context.rank)
    engine = create_engine(model, plan.spec.parallelism, settings.optimizer, context.device)

    folder = context.workspace / "checkpoints" / "pretrain"
    checkpointer = Checkpointer(folder, plan.spec.checkpoint, context, run_identity(plan, context.workspace))
    outcome = train(
        context,
        engine,
        source,
        validation,
        TrainSettings(
            optimizer=settings.optimizer,
            budget=Budget(tokens=settings.budget.tokens, seconds=settings.budget.seconds),
            validate_every_steps=settings.validate_every_steps,
            skip_steps=plan.skip_steps,
        ),
        checkpointer,
        context.workspace / "logs" / "pretrain-history.jsonl",
    )

    context.progress.update(phase="Writing")
    weights = outcome.weights(engine)
    if context.is_main:
        with write_artifact(context, ARTIFACT, plan, stage_digests(plan, context.workspace)) as artifact:
            save_model(artifact, model, weights)
            tokenizer.save_pretrained(artifact)
            shutil.copyfile(outcome.history, artifact / HISTORY)
    barrier()
    checkpointer.clear()
    return StageOutcome(
        artifact=ARTIFACT,
        summary=outcome.summary(),
        message=_message(outcome, arms),
        productive_seconds=context.progress.productive_seconds,
    )


def _source(settings: Pretrain, arms: Sequence[Arm], data: PreparedData, layout: Layout) -> MixtureSource:
    return MixtureSource(
        {arm.name: arm_examples(arm, data, "train", layout.row_length) for arm in arms},
        create_curriculum(settings.curriculum, arm_weights(arms)),
        settings.curriculum,
        layout,
        settings.seed,
    )


def _validation(arms: Sequence[Arm], data: PreparedData, layout: Layout) -> ValidationSets:
    sets = {arm.name: arm_examples(arm, data, "validation", layout.row_length) for arm in arms}
    return {name: validation_batches(examples, layout) for name, examples in sets.items() if len(examples)}


def _model(spec: Model, tokenizer: PreTrainedTokenizerBase, settings: Pretrain) -> PreTrainedModel:
    if spec.scratch is not None:
        return scratch_model(spec.scratch, tokenizer, settings.seed)
    if spec.from_ is None:
        raise BadConfiguration("NoModel", "spec.model has neither from nor scratch", "Give one of them.")
    model = load_model(model_folder(spec.from_.uri, "spec.model.from.uri"))
    check_fit(model, tokenizer, settings.batch.sequence_length)
    return model


def _message(outcome: TrainOutcome, arms: Sequence[Arm]) -> str:
    """`1.2 M tokens · loss 7.62 → 4.11 · mixture en 31% es 29% en→es 40%`."""
    state = outcome.state
    parts = [_count(state.tokens) + " tokens"]
    if state.first_loss is not None and state.loss is not None:
        parts.append(f"loss {state.first_loss:.2f} → {state.loss:.2f}")
    mixture = outcome.mixture()
    if len(arms) > 1:
        parts.append("mixture " + " ".join(f"{arm.label} {mixture.get(arm.name, 0.0):.0%}" for arm in arms))
    if state.nonfinite_steps:
        parts.append(f"{state.nonfinite_steps} steps left out (loss not finite)")
    return " · ".join(parts)


def _count(number: int) -> str:
    """1.2 M, 340 k, 56."""
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
