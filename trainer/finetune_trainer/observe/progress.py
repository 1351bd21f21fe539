"""Where a stage is: one object that the recipe updates and that /progress, /metrics and the log read."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from finetune_api.plan import Plan
from finetune_api.progress import Phase, Progress
from finetune_api.status import LastCheckpoint, ProgressStatus
from finetune_trainer.observe.metrics import Metrics
from finetune_trainer.observe.times import TimeAccount, TimeKind

LOG_EVERY_SECONDS = 10.0
LONG_PHASES: Mapping[Phase, float] = {
    "Loading": 3600.0,
    "Verifying": 3600.0,
    "Checkpointing": 3600.0,
    "Writing": 7200.0,
}
"""Phases that tell nothing of how far they are, and how many seconds each may take.

Until then the heart beats by itself; after that it stands still, and the operator takes the gang for one that hangs.
"""
PUBLISHED_POLL_SECONDS = 0.2
_RATE_WINDOW = 64
_log = logging.getLogger(__name__)


class ProgressReporter:
    """Progress of one rank; safe to read from other threads."""

    def __init__(self, plan: Plan, rank: int = 0, started: float | None = None) -> None:
        """`started` is the process' start on the clock of time.monotonic(); time until the first step is start-up."""
        self.metrics = Metrics(plan)
        self._times = TimeAccount(self.metrics.add_time, time.monotonic() if started is None else started)
        self._plan = plan
        self._is_main = rank == 0
        self._lock = threading.Lock()
        self._status = ProgressStatus()
        self._phase: Phase = "Starting"
        self._updated = time.monotonic()
        self._message = ""
        self._stall: float | None = None
        self._productive_at_checkpoint = 0.0
        self._samples: deque[tuple[float, int]] = deque(maxlen=_RATE_WINDOW)
        self._logged = 0.0
        self.report: bytes | None = None
        """What GET /report shows."""
        self._published = threading.Event()

    def update(  # noqa: PLR0913 - one keyword for each figure that a stage may have
        self,
        *,
        phase: Phase | None = None,
        step: int | None = None,
        total_steps: int | None = None,
        tokens: int | None = None,
        tokens_per_second: float | None = None,
        mfu: float | None = None,
        loss: float | None = None,
        validation_loss: float | None = None,
        micro_batch: int | None = None,
        mixture: Mapping[str, float] | None = None,
        learning_rate: float | None = None,
        gradient_norm: float | None = None,
        message: str | None = None,
    ) -> None:
        """Set what is given; counts as a heartbeat.

        Args:
            phase: what the stage does now.
            step: optimizer steps (or rows, or segments) done in this phase.
            total_steps: of how many.
            tokens: trained on so far, over all ranks.
            tokens_per_second: over all ranks, recently.
            mfu: model FLOPs utilization, recently, attention counted in full.
            loss: training loss per target token, recently.
            validation_loss: of the last validation.
            micro_batch: rows of one forward pass, where more did not fit.
            mixture: probability by arm.
            learning_rate: of the last step.
            gradient_norm: global, before clipping.
            message: anything else worth a line.
        """
        given = {
            "step": step,
            "total_steps": total_steps,
            "tokens": tokens,
            "tokens_per_second": tokens_per_second,
            "mfu": mfu,
            "loss": loss,
            "validation_loss": validation_loss,
            "micro_batch": micro_batch,
            "mixture": dict(mixture) if mixture is not None else None,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        now = time.monotonic()
        with self._lock:
            new_phase = phase is not None and phase != self._phase
            self._updated = now
            if phase is not None:
                self._phase = phase
            if message is not None:
                self._message = message[:256]
            if step is not None and (not self._samples or step != self._samples[-1][1]):
                if self._samples and step < self._samples[-1][1]:
                    self._samples.clear()
                self._samples.append((now, step))
            status = self._status.model_copy(update=changes | {"heartbeat": datetime.now(UTC)})
            percent, eta = self._estimate(status)
            self._status = status.model_copy(update={"percent": percent, "eta_seconds": eta})
        if step is not None:
            self.metrics.step(step, time.time())
        self.metrics.figures(loss, learning_rate, gradient_norm)
        for arm, probability in (mixture or {}).items():
            self.metrics.arm(arm, probability)
        if self._is_main and (new_phase or message is not None or now - self._logged >= LOG_EVERY_SECONDS):
            self._logged = now
            _log.info("%s", self.describe())

    def _estimate(self, status: ProgressStatus) -> tuple[int | None, int | None]:
        """Percent done and seconds left, from the pace of the last steps."""
        if not status.total_steps:
            return None, None
        percent = min(100, 100 * status.step // status.total_steps)
        if len(self._samples) < 2 or self._samples[-1][1] == self._samples[0][1]:
            return percent, None
        seconds = self._samples[-1][0] - self._samples[0][0]
        pace = seconds / (self._samples[-1][1] - self._samples[0][1])
        return percent, max(0, round(pace * (status.total_steps - status.step)))

    def describe(self) -> str:
        """One line for the log."""
        status = self._status
        parts: list[str] = [self._phase]
        if status.step or status.total_steps:
            parts.append(f"step {status.step}" + (f"/{status.total_steps}" if status.total_steps else ""))
        if status.loss is not None:
            parts.append(f"loss {status.loss:.4f}")
        if status.validation_loss is not None:
            parts.append(f"validation {status.validation_loss:.4f}")
        if status.tokens_per_second is not None:
            parts.append(f"{status.tokens_per_second:,.0f} tokens/s")
        if status.mfu is not None:
            parts.append(f"MFU {status.mfu:.1%}")
        if status.eta_seconds is not None:
            parts.append(f"{status.eta_seconds} s left")
        if self._message:
            parts.append(self._message)
        return " · ".join(parts)

    def checkpointed(self, step: int, stall_seconds: float, persist_seconds: float, size: int) -> None:
        """The checkpoint of `step` (`size` bytes) is durable.

        Training stood still for `stall_seconds`, and went on for the `persist_seconds` until it was.
        """
        now = datetime.now(UTC)
        with self._lock:
            checkpoint = LastCheckpoint(step=step, time=now, seconds=round(stall_seconds + persist_seconds, 3))
            self._status = self._status.model_copy(update={"last_checkpoint": checkpoint, "heartbeat": now})
            self._stall = stall_seconds
        self.metrics.checkpointed(stall_seconds, persist_seconds, size, now.timestamp())

    def mark_saved(self) -> None:
        """What was productive so far is in a checkpoint that is about to become durable."""
        self._productive_at_checkpoint = self.productive_seconds

    def add_time(self, kind: TimeKind, seconds: float) -> None:
        """Account wall time of this rank to `kind`; the first productive time ends the start-up."""
        self._times.add(kind, seconds)

    @property
    def productive_seconds(self) -> float:
        """Time in steps so far, this attempt."""
        return self._times.seconds("productive")

    @property
    def saved_productive_seconds(self) -> float:
        """The part of it that is in a checkpoint."""
        return self._productive_at_checkpoint

    def snapshot(self) -> Progress:
        """The object that GET /progress shows; in a long phase being asked is a heartbeat."""
        with self._lock:
            status = self._status
            if time.monotonic() - self._updated < LONG_PHASES.get(self._phase, 0.0):
                status = status.model_copy(update={"heartbeat": datetime.now(UTC)})
            return Progress(
                stage=self._plan.stage,
                attempt=self._plan.attempt,
                phase=self._phase,
                progress=status,
                productive_seconds=self.productive_seconds,
                checkpoint_stall_seconds=self._stall,
                message=self._message,
                time=datetime.now(UTC),
            )

    def publish(self, report: bytes, is_stopped: Callable[[], bool], seconds: float) -> bool:
        """Serve a report until its publication is confirmed; False if that takes longer than `seconds`."""
        self.report = report
        self.update(phase="Publishing")
        end = time.monotonic() + seconds
        while not self._published.wait(PUBLISHED_POLL_SECONDS):
            if is_stopped() or time.monotonic() > end:
                return False
        return True

    def mark_published(self) -> None:
        """Somebody keeps the report now."""
        self._published.set()
