from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_api.adapt import EarlyStopping
from finetune_api.model import Parallelism
from finetune_api.progress import read_history
from finetune_api.training import Batch, Checkpoint, Curriculum, Optimizer
from finetune_trainer.batching import ArmExamples, MixtureSource, make_layout, validation_batches
from finetune_trainer.batching.interface import StepBatch
from finetune_trainer.checkpoint import Checkpointer
from finetune_trainer.context import StageContext
from finetune_trainer.curriculum import create_curriculum
from finetune_trainer.engine import Engine
from finetune_trainer.errors import NonFiniteLoss, Preempted
from finetune_trainer.run.loop import MAX_NONFINITE_STEPS, train
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.settings import TrainOutcome, TrainSettings, ValidationSets
from tiny import (
    PAD,
    TinyTexts,
    documents,
    parameters,
    same_facts,
    tiny_engine,
    tiny_model,
    tiny_plan,
    translations,
)

ROW_TOKENS = 8 * 64
STEPS = 24
BATCH = Batch(global_tokens=ROW_TOKENS, sequence_length=64)
OPTIMIZER = Optimizer(learning_rate=5e-3, warmup_ratio=0.1)


class Laboratory:
    """One run in one folder; every call of `run` is a new process as far as the run can tell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = folder / "history.jsonl"
        self.policy = Checkpoint(every_steps=5, async_=False)
        self.curriculum = Curriculum(strategy="FAIR", update_every_steps=2)
        self.settings = TrainSettings(
            BATCH, OPTIMIZER, self.curriculum, Budget(tokens=STEPS * ROW_TOKENS), 3, PAD, validate_every_steps=8
        )
        self.engine: Engine
        self.source: MixtureSource
        self.context = self.new_context()

    def new_context(self) -> StageContext:
        return StageContext.single(tiny_plan(self.folder), self.folder)

    def arms(self, seed: int) -> dict[str, ArmExamples]:
        return {
            "en": documents(TinyTexts(200, seed=seed), 64),
            "mt:en-es": translations(TinyTexts(90, 8, seed, 25), TinyTexts(90, 8, seed, 25), 64),
        }

    def run(self, disturb: Any = None) -> TrainOutcome:
        """Run to the end; `disturb(step, engine, context)` is called before each batch is drawn."""
        self.context = self.new_context()
        layout = make_layout(BATCH, self.context.ranks, 1, PAD)
        arms = self.arms(0)
        curriculum = create_curriculum(self.curriculum, same_facts(arms))
        self.source = MixtureSource(arms, curriculum, self.curriculum, layout, seed=3)
        self.engine = tiny_engine(tiny_model(), Parallelism(engine="DDP"), OPTIMIZER)
        held_out = self.arms(1).items()
        validation: ValidationSets = {name: validation_batches(examples, layout) for name, examples in held_out}
        checkpointer = Checkpointer(self.folder / "checkpoints", self.policy, self.context)
        if disturb is not None:
            self._disturb(disturb)
        return train(self.context, self.engine, self.source, validation, self.settings, checkpointer, self.history)

    def _disturb(self, disturb: Any) -> None:
        draw = self.source.draw

        def disturbed(step: int) -> StepBatch:
            disturb(step, self.engine, self.context)
            return draw(step)

        self.source.draw = disturbed  # type: ignore[method-assign]

    def losses(self) -> list[tuple[int, float | None]]:
        return [(row.step, row.loss) for row in read_history(self.history)]


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    return Laboratory(tmp_path)


def stop_at(step: int) -> Any:
    def disturb(now: int, _: Engine, context: StageContext) -> None:
        if now == step:
            context.stop.request()

    return disturb


class Killed(Exception):
    """As a SIGKILL would, it leaves no time for anything."""


def kill_at(step: int) -> Any:
    def disturb(now: int, _: Engine, __: StageContext) -> None:
        if now == step:
            raise Killed

    return disturb


def test_training_learns_and_says_so(laboratory: Laboratory) -> None:
    outcome = laboratory.run()
    summary = outcome.summary()
    assert summary["steps"] == STEPS
    assert summary["tokens"] == STEPS * ROW_TOKENS
    assert summary["validationLoss"] < summary["firstValidationLoss"] - 0.3
    assert summary["firstLoss"] == pytest.approx(math.log(128), abs=0.1)
    assert summary["mixture.en"] + summary["mixture.mt:en-es"] == pytest.approx(1.0)
    progress = laboratory.context.progress.snapshot().progress
    assert (progress.step, progress.total_steps, progress.tokens) == (STEPS, STEPS, STEPS * ROW_TOKENS)
    assert sum(progress.mixture.values()) == pytest.approx(1.0)


def test_history_tells_every_curve(laboratory: Laboratory) -> None:
    outcome = laboratory.run()
    rows = read_history(laboratory.history)
    assert [row.step for row in rows] == [*range(21), STEPS]
    assert {row.step for row in rows if row.validation_loss} == {0, 8, 16, STEPS}
    assert set(rows[-1].validation_loss) == {"en", "mt:en-es", "all"}
    assert sum(arm.tokens for arm in rows[-1].arms.values()) == outcome.state.target_tokens
    for row in rows:
        assert sum(arm.probability for arm in row.arms.values()) == pytest.approx(1.0)
    assert rows[-1].learning_rate == pytest.approx(OPTIMIZER.learning_rate * OPTIMIZER.min_learning_rate_ratio)
    assert all(row.gradient_norm is not None and row.gradient_norm > 0 for row in rows[1:])


def test_a_killed_run_ends_as_the_undisturbed_one(laboratory: Laboratory, tmp_path: Path) -> None:
    undisturbed = Laboratory(tmp_path / "undisturbed")
    expected = undisturbed.run()
    for step in (3, 9, 14, 15):
        with pytest.raises(Killed):
            laboratory.run(kill_at(step))
    outcome = laboratory.run()
    assert torch.equal(parameters(laboratory.engine.model), parameters(undisturbed.engine.model))
    assert replace(outcome.state, seconds=0.0) == replace(expected.state, seconds=0.0)
    assert laboratory.source.state_dict() == undisturbed.source.state_dict()
    assert laboratory.losses() == undisturbed.losses()


def test_a_stopped_run_saves_and_ends_as_the_undisturbed_one(laboratory: Laboratory, tmp_path: Path) -> None:
    undisturbed = Laboratory(tmp_path / "undisturbed")
    undisturbed.run()
    with pytest.raises(Preempted) as stopped:
        laboratory.run(stop_at(12))
    assert stopped.value.checkpoint_step == 12
    laboratory.run()
    assert torch.equal(parameters(laboratory.engine.model), parameters(undisturbed.engine.model))
    assert laboratory.losses() == undisturbed.losses()


def test_a_damaged_checkpoint_is_passed_over(laboratory: Laboratory, tmp_path: Path) -> None:
    undisturbed = Laboratory(tmp_path / "undisturbed")
    undisturbed.run()
    with pytest.raises(Killed):
        laboratory.run(kill_at(14))
    newest = max((laboratory.folder / "checkpoints").glob("step-*")) / "engine.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    seen: list[int] = []
    laboratory.run(lambda step, *_: seen.append(step))
    assert seen[0] == 6
    assert torch.equal(parameters(laboratory.engine.model), parameters(undisturbed.engine.model))


def test_the_budget_in_seconds_survives_restarts(laboratory: Laboratory) -> None:
    with pytest.raises(Preempted):
        laboratory.run(stop_at(6))
    spent = read_history(laboratory.history)[-1].seconds
    laboratory.settings = replace(laboratory.settings, budget=Budget(seconds=spent + 0.002))
    assert laboratory.run().state.step == 7


def poison(steps: range) -> Any:
    """Weights whose gradient is not a number in some steps."""
    hooks: list[Any] = []

    def disturb(step: int, engine: Engine, _: StageContext) -> None:
        if step == steps.start:
            weight = dict(engine.model.named_parameters())["model.norm.weight"]
            hooks.append(weight.register_hook(lambda gradient: gradient * math.nan))
        if step == steps.stop:
            hooks.pop().remove()

    return disturb


def test_a_few_steps_without_finite_gradient_are_left_out(laboratory: Laboratory) -> None:
    outcome = laboratory.run(poison(range(6, 9)))
    assert outcome.state.nonfinite_steps == 3
    assert outcome.state.step == STEPS
    assert bool(torch.isfinite(parameters(laboratory.engine.model)).all())


def test_many_steps_without_finite_gradient_end_the_run_with_a_clean_checkpoint(laboratory: Laboratory) -> None:
    with pytest.raises(NonFiniteLoss, match=f"since step 8 .{MAX_NONFINITE_STEPS} steps"):
        laboratory.run(poison(range(8, 999)))
    assert bool(torch.isfinite(parameters(laboratory.engine.model)).all())
    seen: list[int] = []
    laboratory.settings = replace(laboratory.settings, skip_steps=4)
    outcome = laboratory.run(lambda step, *_: seen.append(step))
    assert seen[:6] == [6, 7, 8, 9, 10, 11]
    assert (outcome.state.step, outcome.state.skipped_steps) == (STEPS, 4)


def test_skipped_data_is_skipped_once(laboratory: Laboratory) -> None:
    laboratory.settings = replace(laboratory.settings, skip_steps=3)
    with pytest.raises(Preempted):
        laboratory.run(stop_at(10))
    seen: list[int] = []
    laboratory.run(lambda step, *_: seen.append(step))
    assert seen[0] == 11
    assert len(seen) == STEPS - 7


class Worsening(Laboratory):
    """Trains on texts that have nothing to do with the validation set, at a rate that is too high."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.settings = replace(
            self.settings,
            optimizer=Optimizer(learning_rate=0.3, warmup_ratio=0.5, schedule="Constant"),
            validate_every_steps=1,
            early_stopping=EarlyStopping(patience=3),
            select_best=True,
        )


def test_early_stopping_returns_the_best_weights(tmp_path: Path) -> None:
    laboratory = Worsening(tmp_path)
    outcome = laboratory.run()
    rows = [row for row in read_history(laboratory.history) if row.validation_loss]
    losses = [row.validation_loss["all"] for row in rows]
    best = losses.index(min(losses))
    assert outcome.state.step == rows[best].step + 3 < STEPS
    assert outcome.summary()["validationLoss"] == pytest.approx(min(losses))
    final = parameters(laboratory.engine.model)
    laboratory.engine.model.load_state_dict(dict(outcome.weights(laboratory.engine)), strict=False)
    assert not torch.equal(final, parameters(laboratory.engine.model))
    layout = make_layout(BATCH, laboratory.context.ranks, 1, PAD)
    sums = [
        laboratory.engine.evaluate(validation_batches(examples, layout)) for examples in laboratory.arms(1).values()
    ]
    loss = sum(float(part.loss_sum) for part in sums) / sum(int(part.loss_units) for part in sums)
    assert loss == pytest.approx(min(losses), abs=1e-5)


def checkpoint_files(laboratory: Laboratory) -> dict[str, set[str]]:
    """Names of files by folder, of the checkpoints and of the best weights."""
    root = laboratory.folder / "checkpoints"
    return {
        path.parent.relative_to(root).as_posix(): {file.name for file in path.parent.iterdir()}
        for path in root.rglob("checkpoint.json")
    }


WHOLE = {"checkpoint.json", "engine.pt", "random-00000.pt", "state.json"}
WEIGHTS = {"checkpoint.json", "weights.pt"}


@pytest.mark.parametrize("in_background", [True, False])
def test_a_killed_run_keeps_its_best_weights(in_background: bool, tmp_path: Path) -> None:
    undisturbed, laboratory = Worsening(tmp_path / "undisturbed"), Worsening(tmp_path / "killed")
    expected = undisturbed.run()
    assert expected.best is not None
    best, last = expected.best_step, expected.state.step
    assert 0 < best < last - 1
    laboratory.policy = Checkpoint(every_steps=best + 1, async_=in_background)
    with pytest.raises(Killed):
        laboratory.run(kill_at(1))
    assert checkpoint_files(laboratory) == {}, "nothing is written at step 0"
    laboratory.policy = Checkpoint(every_steps=best + 1, async_=False)
    with pytest.raises(Killed):
        laboratory.run(kill_at(last))
    assert checkpoint_files(laboratory) == {
        f"step-{best + 1:010d}": WHOLE,
        f"best/step-{best:010d}": WEIGHTS,
    }
    outcome = laboratory.run()
    assert outcome.best_step == best
    ours, theirs = dict(outcome.weights(laboratory.engine)), dict(expected.weights(undisturbed.engine))
    assert all(torch.equal(value, ours[name]) for name, value in theirs.items())


def test_a_run_that_never_helps_returns_the_weights_of_step_0_though_no_file_has_them(tmp_path: Path) -> None:
    laboratory = Worsening(tmp_path)
    laboratory.settings = replace(
        laboratory.settings, optimizer=Optimizer(learning_rate=10.0, warmup_ratio=0.0, schedule="Constant")
    )
    laboratory.policy = Checkpoint(every_steps=1, async_=False)
    with pytest.raises(Killed):
        laboratory.run(kill_at(3))
    assert checkpoint_files(laboratory) == {f"step-{step:010d}": WHOLE for step in (1, 2)}
    outcome = laboratory.run()
    assert (outcome.best_step, outcome.state.step) == (0, 3)
    weights, initial = dict(outcome.weights(laboratory.engine)), tiny_model()
    assert all(torch.equal(value, weights[name]) for name, value in initial.named_parameters())


def test_a_finished_run_that_is_started_again_trains_no_more(laboratory: Laboratory) -> None:
    laboratory.policy = Checkpoint(every_steps=STEPS, async_=False)
    laboratory.run()
    seen: list[int] = []
    assert laboratory.run(lambda step, *_: seen.append(step)).state.step == STEPS
    assert seen == []
