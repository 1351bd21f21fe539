"""What a run shows of itself: progress, metrics, history."""

from __future__ import annotations

import math
from pathlib import Path

from finetune_api.progress import ArmHistory, HistoryRow
from finetune_trainer.observe.progress import ProgressReporter
from finetune_trainer.run.contract import BatchSource, StepBatch
from finetune_trainer.run.history import History
from finetune_trainer.run.state import RunState, mean_loss

_FIRST_STEPS_IN_HISTORY = 20
_HISTORY_EVERY_STEPS = 10


class RunReporter:
    """Reports the steps of one run; writes history on rank 0 only."""

    def __init__(self, progress: ProgressReporter, source: BatchSource, history: Path, is_main: bool) -> None:
        self._progress = progress
        self._source = source
        self._history = History(history, is_main)
        self._rate = _Rate()

    def resumed(self, state: RunState) -> None:
        """The run goes on from `state`: later rows of the history are of steps that did not survive."""
        self._history.cut(state.step if state.step > 0 else -1)

    def counted(self, batch: StepBatch, seconds: float, own_seconds: float, applied: bool) -> None:
        """One step was done in `seconds`, `own_seconds` of them without waiting for the other ranks."""
        self._rate.add(batch.row_tokens, seconds)
        self._progress.add_time("productive", seconds)
        metrics = self._progress.metrics
        metrics.step_seconds(seconds, own_seconds)
        metrics.add_tokens("target", batch.target_tokens)
        metrics.add_tokens("context", batch.row_tokens - batch.padding_tokens - batch.target_tokens)
        metrics.add_tokens("padding", batch.padding_tokens)
        metrics.add_arm_tokens(batch.arm, batch.target_tokens)
        if not applied:
            metrics.nonfinite_step()

    def validated(self, losses: dict[str, float], seconds: float) -> None:
        """A validation is done."""
        self._progress.add_time("evaluation", seconds)
        for name, loss in losses.items():
            self._progress.metrics.validation(name, loss)

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
            tokens_per_second=self._rate.tokens_per_second,
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
        if often or validation or fraction >= 1.0:
            self.row(state, validation, rate, gradient_norm)

    def row(
        self,
        state: RunState,
        validation: dict[str, float],
        rate: float | None = None,
        gradient_norm: float | None = None,
    ) -> None:
        """Add a row to the history."""
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
        self._history.append(
            HistoryRow(
                step=state.step,
                tokens=state.tokens,
                seconds=round(state.seconds, 3),
                loss=state.loss,
                learning_rate=rate,
                gradient_norm=gradient_norm if finite else None,
                tokens_per_second=self._rate.tokens_per_second,
                arms=arms,
                validation_loss=validation,
            )
        )


class _Rate:
    """Row tokens per second over all ranks, averaged over about ten steps."""

    _KEEP = 0.9

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        self._tokens = self._KEEP * self._tokens + tokens
        self._seconds = self._KEEP * self._seconds + seconds

    @property
    def tokens_per_second(self) -> float | None:
        return round(self._tokens / self._seconds, 1) if self._seconds > 0 else None
