"""The training loop: one for all training stages."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from finetune_trainer.batching.interface import BatchSource, StepBatch
from finetune_trainer.checkpoint import SaveFlags
from finetune_trainer.distributed import use_steady_timeout
from finetune_trainer.engine import Engine, HostBuffers, StepExhausted, Write
from finetune_trainer.errors import NonFiniteLoss, Preempted
from finetune_trainer.objectives import LossSum
from finetune_trainer.run.best import BestWeights
from finetune_trainer.run.flops import model_flops, peak_flops
from finetune_trainer.run.micro_batch import smaller_micro_batch
from finetune_trainer.run.rank_figures import RankFigures, from_slots, measure, slots
from finetune_trainer.run.reporter import RunReporter, Utilization
from finetune_trainer.run.schedule import learning_rate
from finetune_trainer.run.scorer import Scorer
from finetune_trainer.run.settings import TrainOutcome, TrainSettings, ValidationSets
from finetune_trainer.run.snapshot import read_position, restore, take_snapshot
from finetune_trainer.run.state import RunState
from finetune_trainer.run.trackers import open_trackers
from finetune_trainer.run.validate import ALL, mean_losses

if TYPE_CHECKING:
    from finetune_trainer.checkpoint import Checkpointer
    from finetune_trainer.context import StageContext

_log = logging.getLogger(__name__)
MAX_NONFINITE_STEPS = 5
"""So many steps in a row without a finite loss and gradient end the run."""


def train(
    context: StageContext,
    engine: Engine,
    source: BatchSource,
    validation: ValidationSets,
    settings: TrainSettings,
    checkpointer: Checkpointer,
    history: Path,
    scorer: Scorer | None = None,
) -> TrainOutcome:
    """Train until the budget is used up, from the newest checkpoint if there is one. Every rank calls it.

    Raises:
        Preempted: a stop was asked for; the checkpoint is saved.
        NonFiniteLoss: no finite loss for MAX_NONFINITE_STEPS steps; the weights were not touched by them.
    """
    utilization = Utilization(model_flops(engine.model), peak_flops(context.device), context.ranks.size)
    trackers = open_trackers(context.plan, history)
    reporter = RunReporter(context.progress, source, trackers, context.ranks.is_main, utilization)
    run = _Run(context, engine, source, validation, settings, checkpointer, reporter, scorer)
    state = run.train()
    return TrainOutcome(state, history, run.best.find(state) if settings.select_best else None)


@dataclass(frozen=True, slots=True)
class _Reduced:
    """What the ranks share in a step: its one collective beside the engine's own."""

    loss_sum: float
    loss_units: int
    exhausted: bool
    """Some rank had no memory for its micro-batches."""
    stop: bool
    """Some rank was asked to stop."""
    saving: SaveFlags
    """Of all ranks."""
    seconds: float
    """Rank 0's clock: all ranks must see the same budget."""
    ranks: list[RankFigures]
    """Every rank's own figures."""


@dataclass
class _Run:
    context: StageContext
    engine: Engine
    source: BatchSource
    validation: ValidationSets
    settings: TrainSettings
    checkpointer: Checkpointer
    reporter: RunReporter
    scorer: Scorer | None = None

    def __post_init__(self) -> None:
        self.state = RunState()
        self.validated: dict[str, float] = {}
        self.best = BestWeights(self.engine, self.checkpointer)
        self.buffers = HostBuffers() if self.checkpointer.in_background else None
        self.saved_step = -1
        self.scored_step = -1
        self.started = 0.0

    def train(self) -> RunState:
        """From the newest checkpoint to the end of the budget."""
        self._resume()
        self.started = time.monotonic() - self.state.seconds
        if self.state.step == 0 and self.saved_step < 0:
            self._validate()
            self._score()
            self.reporter.row(self.state, self.validated)
        while self._fraction() < 1.0 and not self._is_early():
            self._step()
            use_steady_timeout()
        unscored = self.scorer is not None and self.scored_step != self.state.step
        if not self.validated or unscored:
            if not self.validated:
                self._validate()
            self._score()
            self.reporter.row(self.state, self.validated)
        self.checkpointer.wait()
        return self.state

    def _resume(self) -> None:
        entry = self.checkpointer.latest()
        if entry is not None:
            self.context.progress.update(phase="Loading")
            self.state, source = read_position(entry.path)
            if self.settings.select_best and self.state.best_step == 0:
                self.best.keep(0, math.inf)  # no file has them, and the engine is about to lose them
            restore(entry.path, self.engine, self.context.ranks.rank)
            self.source.load_state_dict(source)
            self.saved_step = self.state.step
        self.reporter.resumed(self.state)
        while self.state.skipped_steps < self.settings.skip_steps:
            self.state.skipped_steps += 1
            self.source.draw(self._data_step)

    @property
    def _data_step(self) -> int:
        """Number of the batch that was drawn last."""
        return self.state.step + self.state.skipped_steps

    def _is_early(self) -> bool:
        stopping = self.settings.early_stopping
        return stopping is not None and self.state.validations_without_improvement >= stopping.patience

    def _fraction(self, more: StepBatch | None = None) -> float:
        """Share of the budget used, with the tokens of `more`."""
        tokens, examples = (more.row_tokens, more.examples) if more else (0, 0)
        state = self.state
        return self.settings.budget.fraction(state.tokens + tokens, state.seconds, state.examples + examples)

    def _step(self) -> None:
        began = time.monotonic()
        self.validated = {}
        batch = self.source.draw(self._data_step + 1)
        before = self._probe(batch)
        reduced = self._accumulate(batch)
        while reduced.exhausted:
            batch = self._halve()
            reduced = self._accumulate(batch)
        if reduced.loss_units != batch.loss_units:
            raise RuntimeError(
                f"step {self.state.step + 1}: the ranks trained on {reduced.loss_units} loss units, "
                f"the batch has {batch.loss_units}"
            )
        rate = learning_rate(self.settings.optimizer, self._fraction(batch))
        info = self.engine.step(rate, apply=math.isfinite(reduced.loss_sum))
        if info.applied:
            reward = before - self._probe(batch) if batch.probe else None
            self.source.feedback(batch.arm, reduced.loss_sum / max(reduced.loss_units, 1), reward)
        self._count(batch, reduced, info.applied)
        self.reporter.counted(self.state.step, batch, time.monotonic() - began, reduced.ranks, info.applied)
        due = self.checkpointer.due(self.state.step, reduced.saving)
        if self.state.step % self.settings.validate_every_steps == 0:
            self._validate()
        if self.scorer is not None and self.state.step % self.scorer.every_steps == 0:
            self._score()
        self.reporter.step(self.state, self._fraction(), rate, info.gradient_norm, self.validated)
        self._check_finite(batch.arm)
        if reduced.stop:
            self._save(required=True)
            self.checkpointer.wait()
            raise Preempted(self.state.step)
        if due and self.state.nonfinite_in_a_row == 0:
            self._save()

    def _accumulate(self, batch: StepBatch) -> _Reduced:
        began, device = time.monotonic(), self.context.device
        try:
            loss = self.engine.accumulate(batch.micro_batches, batch.loss_units)
        except StepExhausted:
            nothing = LossSum(torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device))
            return self._reduce(nothing, time.monotonic() - began, exhausted=True)
        return self._reduce(loss, time.monotonic() - began, exhausted=False)

    def _halve(self) -> StepBatch:
        """The batch again in smaller micro-batches, after memory ran out on some rank."""
        before = self.source.micro_batch
        smaller = smaller_micro_batch(self.context, self.settings.batch, self.settings.training, before)
        self.engine.recover()
        self.context.progress.update(micro_batch=smaller)
        if self.context.ranks.is_main:
            _log.warning(
                "step %d: out of memory with micro-batches of %d rows; it is done again, and goes on, with %d "
                "(the global batch stays)",
                self.state.step + 1,
                before,
                smaller,
            )
        return self.source.recut(smaller)

    def _probe(self, batch: StepBatch) -> float:
        """Loss per unit of the probe over all ranks; the reward is how far it falls in the step."""
        return self._mean_losses({ALL: batch.probe})[ALL] if batch.probe else 0.0

    def _mean_losses(self, sets: ValidationSets) -> dict[str, float]:
        return mean_losses(self.engine, sets, self.context.device, self.context.ranks)

    def _reduce(self, own: LossSum, own_seconds: float, *, exhausted: bool) -> _Reduced:
        context, loss_sum = self.context, own.loss_sum
        mine = (
            float(exhausted),
            float(context.stop.requested),
            *self.checkpointer.flags,
            time.monotonic() - self.started if context.ranks.is_main else 0.0,
            *slots(measure(own_seconds, context.device), context.ranks.rank, context.ranks.size),
        )
        flags = torch.tensor(mine, dtype=torch.float64, device=loss_sum.device)
        vector = torch.cat((torch.stack((loss_sum.double(), own.loss_units.double())), flags))
        loss, units, short, stop, overdue, busy, seconds, *ranks = context.ranks.sum(vector).tolist()
        saving = SaveFlags(overdue, busy)
        return _Reduced(loss, round(units), short > 0, stop > 0, saving, seconds, from_slots(ranks))

    def _count(self, batch: StepBatch, reduced: _Reduced, applied: bool) -> None:
        state = self.state
        state.step += 1
        state.tokens += batch.row_tokens
        state.padding_tokens += batch.padding_tokens
        state.examples += batch.examples
        state.seconds = reduced.seconds
        if applied:
            state.nonfinite_in_a_row = 0
            state.record(batch.arm, reduced.loss_sum, reduced.loss_units)
        else:
            state.nonfinite_steps += 1
            state.nonfinite_in_a_row += 1

    def _check_finite(self, arm: str) -> None:
        state = self.state
        if state.nonfinite_in_a_row >= MAX_NONFINITE_STEPS:
            self.checkpointer.wait()
            raise NonFiniteLoss(
                "NonFiniteLoss",
                f"loss or gradient is not a finite number since step {state.step - MAX_NONFINITE_STEPS + 1} "
                f"({MAX_NONFINITE_STEPS} steps, the last one on {arm}); none of these steps changed the weights",
                "Lower optimizer.learningRate or raise optimizer.warmupRatio; check the data of that objective.",
            )

    def _validate(self) -> None:
        began = time.monotonic()
        self.context.progress.update(phase="Validating")
        self.validated = self._mean_losses(self.validation)
        self.source.validated(self.validated)
        self.reporter.validated(self.validated, time.monotonic() - began)
        loss = self.validated.get(ALL)
        if loss is not None and self.state.improved(loss) and self.settings.select_best:
            self.best.keep(self.state.step, loss)

    def _score(self) -> None:
        """Score the answers to a few validation segments, if that is asked for."""
        if self.scorer is None or self.scored_step == self.state.step:
            return
        began = time.monotonic()
        scores = self.scorer.score(self.context, self.engine)
        self.scored_step = self.state.step
        self.reporter.scored(scores, time.monotonic() - began)

    def _save(self, *, required: bool = False) -> None:
        """Save unless it is saved; without room on the disk training goes on, unless it is `required`."""
        if self.saved_step == self.state.step:
            return
        # The best weights have files of their own; no whole checkpoint needs to be kept for them.
        metric = None if self.settings.select_best else self.validated.get(ALL)

        def take() -> Write:
            rank = self.context.ranks.rank
            return take_snapshot(self.engine, self.state, self.source.state_dict(), rank, self.buffers)

        self.context.progress.update(phase="Checkpointing")
        if self.checkpointer.save(self.state.step, take, metric, required=required):
            self.saved_step = self.state.step
        self.context.progress.update(phase="Training")
