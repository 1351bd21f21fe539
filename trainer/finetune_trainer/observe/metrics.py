"""The trainer's Prometheus metrics, in a registry of their own."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from finetune_api import metrics
from finetune_api.metrics import Metric
from finetune_api.plan import Plan


class Metrics:
    """All metrics of one rank. Series of the job's labels appear with their first value."""

    def __init__(self, plan: Plan) -> None:
        """Label values come from `plan`."""
        self.registry = CollectorRegistry()
        self._values = (plan.job.name, plan.stage, str(plan.attempt))
        self._step = self._gauge(metrics.STEP)
        self._loss = self._gauge(metrics.LOSS)
        self._learning_rate = self._gauge(metrics.LEARNING_RATE)
        self._gradient_norm = self._gauge(metrics.GRADIENT_NORM)
        self._tokens = self._counter(metrics.TOKENS)
        self._step_duration = self._histogram(metrics.STEP_DURATION)
        self._rank_step = self._gauge(metrics.RANK_STEP_SECONDS)
        self._host_memory = self._gauge(metrics.HOST_MEMORY)
        self._device_memory = self._gauge(metrics.DEVICE_MEMORY)
        self._mfu = self._gauge(metrics.MFU)
        self._probability = self._gauge(metrics.CURRICULUM_PROBABILITY)
        self._reward = self._gauge(metrics.CURRICULUM_REWARD)
        self._arm_tokens = self._counter(metrics.ARM_TOKENS)
        self._arm_loss = self._gauge(metrics.ARM_LOSS)
        self._checkpoint = self._histogram(metrics.CHECKPOINT_DURATION)
        self._checkpoint_size = self._gauge(metrics.CHECKPOINT_SIZE)
        self._last_checkpoint = self._gauge(metrics.LAST_CHECKPOINT)
        self._last_step = self._gauge(metrics.LAST_STEP)
        self._time = self._counter(metrics.TIME)
        self._nonfinite = self._counter(metrics.NONFINITE_STEPS)
        self._nonfinite.labels(*self._values)  # from 0 on: the first such step is an increase, too
        self._validation_loss = self._gauge(metrics.VALIDATION_LOSS)
        self._validation_score = self._gauge(metrics.VALIDATION_SCORE)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.all_labels, registry=self.registry)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.all_labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.help, metric.all_labels, registry=self.registry, buckets=metric.buckets)

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

    def step_seconds(self, step: int, seconds: float) -> None:
        """Duration of a step; its number is the exemplar, so a slow one can be found in the log and the history."""
        self._step_duration.labels(*self._values).observe(seconds, exemplar={"step": str(step)})

    def rank(self, rank: int, own_seconds: float, host_bytes: float, device_bytes: Mapping[str, float]) -> None:
        """A rank's own part of the last step, and its memory; `device_bytes` by kind: allocated, reserved, peak."""
        own = (*self._values, str(rank))
        self._rank_step.labels(*own).set(own_seconds)
        self._host_memory.labels(*own).set(host_bytes)
        for kind, size in device_bytes.items():
            self._device_memory.labels(*own, kind).set(size)

    def mfu(self, convention: str, ratio: float) -> None:
        """Model FLOPs utilization, attention counted "full" or "causal"."""
        self._mfu.labels(*self._values, convention).set(ratio)

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

    def expose(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body; OpenMetrics, which has exemplars, if the header Accept asks for it."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)
