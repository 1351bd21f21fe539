"""What a run shows of itself: progress, metrics, history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetune_api.progress import ArmHistory, HistoryRow
from finetune_trainer.batching.interface import BatchSource, StepBatch
from finetune_trainer.observe.metrics import Metrics
from finetune_trainer.observe.progress import ProgressReporter
from finetune_trainer.run.flops import ModelFlops
from finetune_trainer.run.rank_figures import RankFigures
from finetune_trainer.run.state import RunState, mean_loss
from finetune_trainer.run.trackers import Tracker

_FIRST_STEPS_IN_HISTORY = 20
_HISTORY_EVERY_STEPS = 10
CONVENTIONS = ("full", "causal")
"""Of counting attention in the model's FLOPs."""


@dataclass(frozen=True, slots=True)
class Utilization:
    """How much of what the devices can compute the model needs."""

    flops: ModelFlops
    peak: float | None
    """FLOP/s of one device; None: not known, and nothing is reported."""
    ranks: int
    """Each has a device."""

    def of(self, batch: StepBatch) -> dict[str, float]:
        """Seconds that a step would take at the devices' peak, by convention."""
        if self.peak is None:
            return {}
        tokens = batch.row_tokens - batch.padding_tokens
        flops = self.flops.of_tokens(tokens, batch.squared_lengths)
        return {name: flops[name] / (self.peak * self.ranks) for name in CONVENTIONS}


class RunReporter:
    """Reports the steps of one run; curves on rank 0 only."""

    def __init__(
        self,
        progress: ProgressReporter,
        source: BatchSource,
        trackers: Sequence[Tracker],
        is_main: bool,
        utilization: Utilization,
    ) -> None:
        self._is_main = is_main
        self._utilization = utilization
        self._progress = progress
        self._source = source
        self._trackers = trackers if is_main else ()
        self._recent = _Recent()
        self._scores: dict[str, float] = {}

    @property
    def _tokens_per_second(self) -> float | None:
        return _rounded(self._recent.per_second("tokens"), 1)

    def resumed(self, state: RunState) -> None:
        """The run goes on from `state`: later rows of the history are of steps that did not survive."""
        for tracker in self._trackers:
            tracker.resume(state.step if state.step > 0 else -1)

    def counted(self, step: int, batch: StepBatch, seconds: float, ranks: Sequence[RankFigures], applied: bool) -> None:
        """Step number `step` was done in `seconds`; `ranks` are each rank's figures."""
        self._recent.add(seconds, {"tokens": float(batch.row_tokens)} | self._utilization.of(batch))
        self._progress.add_time("productive", seconds)
        metrics = self._progress.metrics
        metrics.step_seconds(step, seconds)
        if self._is_main:
            for rank, figures in enumerate(ranks):
                _show(metrics, rank, figures)
        for convention in CONVENTIONS:
            if (ratio := self._recent.per_second(convention)) is not None:
                metrics.mfu(convention, ratio)
        metrics.add_tokens("target", batch.loss_units)
        metrics.add_tokens("context", batch.row_tokens - batch.padding_tokens - batch.loss_units)
        metrics.add_tokens("padding", batch.padding_tokens)
        metrics.add_arm_tokens(batch.arm, batch.loss_units)
        if not applied:
            metrics.nonfinite_step()

    def validated(self, losses: dict[str, float], seconds: float) -> None:
        """A validation is done."""
        self._progress.add_time("evaluation", seconds)
        for name, loss in losses.items():
            self._progress.metrics.validation(name, loss)

    def scored(self, scores: Mapping[str, float], seconds: float) -> None:
        """Answers to validation segments have these scores, by metric; the next row of the curves tells them."""
        self._scores = dict(scores)
        self._progress.add_time("evaluation", seconds)
        for metric, score in scores.items():
            self._progress.metrics.score(metric, "validation", score)

    def step(
        self, state: RunState, fraction: float, rate: float, gradient_norm: float, validation: dict[str, float]
    ) -> None:
        """Show `state`, `fraction` of the budget through; `validation` if this step was followed by one."""
        arms = self._source.arms()
        self._progress.update(
            phase="Training",
            step=state.step,
            total_steps=max(state.step, math.ceil(state.step / fraction - 1e-6)) if fraction > 0 else None,
            tokens=state.tokens,
            tokens_per_second=self._tokens_per_second,
            mfu=_rounded(self._recent.per_second("full"), 4),
            loss=state.loss,
            validation_loss=state.validation_loss,
            mixture={name: arm.probability for name, arm in arms.items()},
            learning_rate=rate,
            gradient_norm=gradient_norm if math.isfinite(gradient_norm) else None,
        )
        for name, arm in arms.items():
            counters = state.arms.get(name)
            loss = mean_loss(counters.recent) if counters else None
            self._progress.metrics.arm(name, arm.probability, arm.reward, loss)
        often = state.step <= _FIRST_STEPS_IN_HISTORY or state.step % _HISTORY_EVERY_STEPS == 0
        if often or validation or self._scores or fraction >= 1.0:
            self.row(state, validation, rate, gradient_norm)

    def row(
        self,
        state: RunState,
        validation: dict[str, float],
        rate: float | None = None,
        gradient_norm: float | None = None,
    ) -> None:
        """Add a row to the curves."""
        arms = {}
        for name, arm in self._source.arms().items():
            counters = state.arms.get(name)
            arms[name] = ArmHistory(
                probability=arm.probability,
                loss=mean_loss(counters.recent) if counters else None,
                tokens=counters.target_tokens if counters else 0,
                reward=arm.reward,
            )
        finite = gradient_norm is not None and math.isfinite(gradient_norm)
        whole = HistoryRow(
            step=state.step,
            tokens=state.tokens,
            seconds=round(state.seconds, 3),
            loss=state.loss,
            learning_rate=rate,
            gradient_norm=gradient_norm if finite else None,
            tokens_per_second=self._tokens_per_second,
            arms=arms,
            validation_loss=validation,
            validation_score=self._scores,
        )
        self._scores = {}
        for tracker in self._trackers:
            tracker.log(whole)


class _Recent:
    """Amounts per second of training, averaged over about ten steps."""

    _KEEP = 0.9

    def __init__(self) -> None:
        self._seconds = 0.0
        self._amounts: dict[str, float] = {}

    def add(self, seconds: float, amounts: Mapping[str, float]) -> None:
        """One step."""
        self._seconds = self._KEEP * self._seconds + seconds
        for name, amount in amounts.items():
            self._amounts[name] = self._KEEP * self._amounts.get(name, 0.0) + amount

    def per_second(self, name: str) -> float | None:
        """None before the first step, and for what is not known."""
        return self._amounts[name] / self._seconds if name in self._amounts and self._seconds > 0 else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _show(metrics: Metrics, rank: int, figures: RankFigures) -> None:
    device = {
        "allocated": figures.allocated_bytes,
        "reserved": figures.reserved_bytes,
        "peak": figures.peak_bytes,
    }
    metrics.rank(rank, figures.own_seconds, figures.host_bytes, device if figures.reserved_bytes else {})
