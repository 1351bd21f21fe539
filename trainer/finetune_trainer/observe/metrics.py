"""The trainer's Prometheus metrics, in a registry of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from finetune_api import metric_names as names
from finetune_api.plan import Plan

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_PERSIST_SECONDS = (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Metrics:
    """All metrics of one rank. Series of the job's labels appear with their first value."""

    def __init__(self, plan: Plan, rank: int) -> None:
        """Label values come from `plan` and `rank`."""
        self.registry = CollectorRegistry()
        self._values = (plan.job.name, plan.stage, str(plan.attempt))
        self._rank = str(rank)
        self._step = self._gauge(names.STEP, "Optimizer steps (or rows, or segments) done.")
        self._loss = self._gauge(names.LOSS, "Training loss per target token, recently, in nats.")
        self._learning_rate = self._gauge(names.LEARNING_RATE, "Learning rate of the last step.")
        self._gradient_norm = self._gauge(names.GRADIENT_NORM, "Global gradient norm before clipping.")
        self._tokens = self._counter(names.TOKENS, "Tokens trained on over all ranks, by kind.", "kind")
        self._step_duration = self._histogram(names.STEP_DURATION, "Duration of an optimizer step.", _SECONDS)
        self._rank_step = self._gauge(names.RANK_STEP_SECONDS, "This rank's own part of the last step.", "rank")
        self._probability = self._gauge(names.CURRICULUM_PROBABILITY, "Probability of drawing an arm.", "arm")
        self._reward = self._gauge(names.CURRICULUM_REWARD, "Smoothed reward of an arm.", "arm")
        self._arm_tokens = self._counter(names.ARM_TOKENS, "Target tokens trained on, by arm.", "arm")
        self._arm_loss = self._gauge(names.ARM_LOSS, "Recent training loss of an arm.", "arm")
        self._checkpoint = self._histogram(
            names.CHECKPOINT_DURATION, "Duration of a checkpoint, by phase.", _PERSIST_SECONDS, "phase"
        )
        self._checkpoint_size = self._gauge(names.CHECKPOINT_SIZE, "Size of the newest checkpoint.")
        self._last_checkpoint = self._gauge(names.LAST_CHECKPOINT, "When the newest checkpoint became durable.")
        self._last_step = self._gauge(names.LAST_STEP, "When the last step ended.")
        self._time = self._counter(names.TIME, "Where the time went, by kind.", "kind")
        self._nonfinite = self._counter(names.NONFINITE_STEPS, "Steps that were not applied: loss not finite.")
        self._validation_loss = self._gauge(names.VALIDATION_LOSS, "Validation loss per target token.", "set")
        self._validation_score = self._gauge(names.VALIDATION_SCORE, "Validation score.", "metric", "set")

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, (*names.TRAINER_LABELS, *labels), registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, (*names.TRAINER_LABELS, *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, (*names.TRAINER_LABELS, *labels), registry=self.registry, buckets=buckets)

    def step(self, step: int, time: float) -> None:
        """Progress at `time` (seconds since the epoch)."""
        self._step.labels(*self._values).set(step)
        self._last_step.labels(*self._values).set(time)

    def figures(self, loss: float | None, learning_rate: float | None, gradient_norm: float | None) -> None:
        """Figures of the last step; None leaves a figure as it is."""
        for gauge, value in (
            (self._loss, loss),
            (self._learning_rate, learning_rate),
            (self._gradient_norm, gradient_norm),
        ):
            if value is not None:
                gauge.labels(*self._values).set(value)

    def add_tokens(self, kind: str, count: int) -> None:
        """`kind` is target, context or padding."""
        self._tokens.labels(*self._values, kind).inc(count)

    def step_seconds(self, seconds: float, own_seconds: float | None = None) -> None:
        """Duration of a step, and of this rank's part of it without waiting for others."""
        self._step_duration.labels(*self._values).observe(seconds)
        self._rank_step.labels(*self._values, self._rank).set(seconds if own_seconds is None else own_seconds)

    def arm(self, name: str, probability: float, reward: float | None = None, loss: float | None = None) -> None:
        """State of one arm of the mixture."""
        self._probability.labels(*self._values, name).set(probability)
        if reward is not None:
            self._reward.labels(*self._values, name).set(reward)
        if loss is not None:
            self._arm_loss.labels(*self._values, name).set(loss)

    def add_arm_tokens(self, name: str, count: int) -> None:
        """Target tokens of one step of an arm."""
        self._arm_tokens.labels(*self._values, name).inc(count)

    def checkpointed(self, stall_seconds: float, persist_seconds: float, size: int, time: float) -> None:
        """A checkpoint became durable at `time`."""
        self._checkpoint.labels(*self._values, "stall").observe(stall_seconds)
        self._checkpoint.labels(*self._values, "persist").observe(persist_seconds)
        self._checkpoint_size.labels(*self._values).set(size)
        self._last_checkpoint.labels(*self._values).set(time)

    def add_time(self, kind: str, seconds: float) -> None:
        """Account `seconds` to `kind`."""
        self._time.labels(*self._values, kind).inc(seconds)

    def nonfinite_step(self) -> None:
        """One step was not applied."""
        self._nonfinite.labels(*self._values).inc()

    def validation(self, name: str, loss: float) -> None:
        """Loss on one validation set."""
        self._validation_loss.labels(*self._values, name).set(loss)

    def score(self, metric: str, name: str, score: float) -> None:
        """Score on one set."""
        self._validation_score.labels(*self._values, metric, name).set(score)

    def expose(self) -> bytes:
        """Text format."""
        return generate_latest(self.registry)
