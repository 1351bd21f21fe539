"""All Prometheus metrics: names, labels and help in one place; `docs/reference/metrics.md` is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["gauge", "counter", "histogram"]
Part = Literal["operator", "job", "trainer"]


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric family."""

    part: Part
    """Who exposes it: the operator about itself, the operator about jobs, or the pods of a job."""
    kind: MetricKind
    name: str
    """A counter is exposed with the suffix _total, a histogram with _bucket, _sum and _count."""
    help: str
    labels: tuple[str, ...] = ()
    """Beside those that every metric of the part has."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram."""

    @property
    def all_labels(self) -> tuple[str, ...]:
        """In the order in which values are given."""
        return (*COMMON_LABELS[self.part], *self.labels)

    @property
    def exposed_name(self) -> str:
        """As queries name it."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


COMMON_LABELS: dict[Part, tuple[str, ...]] = {
    "operator": (),
    "job": ("namespace", "finetunejob"),
    "trainer": ("finetunejob", "stage", "attempt"),
}
_STEP_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_PERSIST_SECONDS = (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_VISIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SCORED = ("metric", "test_set", "shots")

RECONCILE_DURATION = Metric(
    "operator", "histogram", "finetune_operator_reconcile_duration_seconds", "Time of one visit to a job.",
    buckets=_VISIT_SECONDS,
)  # fmt: skip
RECONCILES = Metric(
    "operator", "counter", "finetune_operator_reconciles",
    "Visits to jobs, by result: success, conflict, error.", ("result",),
)  # fmt: skip
QUEUE_DEPTH = Metric("operator", "gauge", "finetune_operator_queue_depth", "Jobs that wait for a visit.")
QUEUE_LATENCY = Metric(
    "operator", "histogram", "finetune_operator_queue_latency_seconds", "Time from a change of a job to its visit.",
    buckets=_VISIT_SECONDS,
)  # fmt: skip
API_REQUESTS = Metric(
    "operator", "counter", "finetune_operator_api_requests",
    "Requests to the API server; code 0: no answer.", ("verb", "kind", "code"),
)  # fmt: skip
WATCH_EVENTS = Metric(
    "operator", "counter", "finetune_operator_watch_events", "Changes that watches told of.", ("kind",)
)
WATCH_AGE = Metric(
    "operator", "gauge", "finetune_operator_watch_age_seconds", "Time since a kind was last heard of.", ("kind",)
)
IS_LEADER = Metric("operator", "gauge", "finetune_operator_is_leader", "Whether this replica acts: 1 or 0.")
BUILD_INFO = Metric("operator", "gauge", "finetune_operator_build_info", "Version of the operator.", ("version",))

JOB_INFO = Metric("job", "gauge", "kube_finetunejob_info", "A job and its runtime; always 1.", ("runtime",))
JOB_STATE = Metric(
    "job", "gauge", "kube_finetunejob_state", "1 for the present state, as kubectl prints it.", ("state",)
)
JOB_CONDITION = Metric(
    "job", "gauge", "kube_finetunejob_status_condition",
    "1 for the present status of a condition: true, false or unknown.", ("condition", "status"),
)  # fmt: skip
JOB_STAGE = Metric("job", "gauge", "kube_finetunejob_stage_info", "1 for the stage that a job is in.", ("stage",))
JOB_FAILED = Metric(
    "job", "gauge", "kube_finetunejob_failed",
    "1 for the reason for which a job failed, and the stage in which it did.", ("reason", "stage"),
)  # fmt: skip
JOB_NODES = Metric("job", "gauge", "kube_finetunejob_nodes", "Pods of the present gang.")
JOB_PROGRESS = Metric("job", "gauge", "kube_finetunejob_progress_ratio", "Share of the present stage that is done.")
JOB_TOKENS = Metric(
    "job", "gauge", "kube_finetunejob_stage_tokens",
    "Tokens trained on in a stage; the last value stays when its pods are gone.", ("stage",),
)  # fmt: skip
JOB_LOSS = Metric(
    "job", "gauge", "kube_finetunejob_stage_loss",
    "Last training loss of a stage per target token, in nats; stays when its pods are gone.", ("stage",),
)  # fmt: skip
JOB_VALIDATION_LOSS = Metric(
    "job", "gauge", "kube_finetunejob_stage_validation_loss",
    "Validation loss of what a stage made, per target token, in nats; while it trains the last one.", ("stage",),
)  # fmt: skip
JOB_RESTARTS = Metric("job", "counter", "kube_finetunejob_restarts", "Restarts of gangs, by cause.", ("cause",))
JOB_GOODPUT = Metric(
    "job", "gauge", "kube_finetunejob_goodput_ratio", "Share of the time since the first pods that became progress."
)
JOB_LOST = Metric(
    "job", "counter", "kube_finetunejob_lost_seconds", "Time that did not become progress, by cause.", ("cause",)
)
JOB_SCORE = Metric("job", "gauge", "kube_finetunejob_evaluation_score", "Score of the job's model.", _SCORED)
JOB_BASELINE_SCORE = Metric(
    "job", "gauge", "kube_finetunejob_evaluation_baseline_score",
    "Score of what the job's model is compared with.", _SCORED,
)  # fmt: skip
JOB_OUTCOME = Metric(
    "job", "gauge", "kube_finetunejob_evaluation_outcome",
    "1 for the outcome of the evaluation: Better, Worse, NoDifference, NotUsable, Mixed or NotCompared.", ("outcome",),
)  # fmt: skip
JOB_CREATED = Metric("job", "gauge", "kube_finetunejob_created_seconds", "When the job was created, Unix time.")
JOB_START = Metric("job", "gauge", "kube_finetunejob_start_seconds", "When its first pods were made, Unix time.")
JOB_COMPLETION = Metric("job", "gauge", "kube_finetunejob_completion_seconds", "When the job ended, Unix time.")

STEP = Metric("trainer", "gauge", "finetune_step", "Optimizer steps (or rows, or segments) done.")
LOSS = Metric("trainer", "gauge", "finetune_loss", "Training loss per target token, recently, in nats.")
LEARNING_RATE = Metric("trainer", "gauge", "finetune_learning_rate", "Learning rate of the last step.")
GRADIENT_NORM = Metric("trainer", "gauge", "finetune_gradient_norm", "Global gradient norm before clipping.")
TOKENS = Metric(
    "trainer", "counter", "finetune_tokens",
    "Tokens trained on over all ranks, by kind: target, context, padding.", ("kind",),
)  # fmt: skip
STEP_DURATION = Metric(
    "trainer", "histogram", "finetune_step_duration_seconds", "Duration of an optimizer step.", buckets=_STEP_SECONDS
)
RANK_STEP_SECONDS = Metric(
    "trainer", "gauge", "finetune_rank_step_seconds", "A rank's own part of the last step; rank 0 tells of all ranks.",
    ("rank",),
)  # fmt: skip
HOST_MEMORY = Metric(
    "trainer", "gauge", "finetune_host_memory_bytes",
    "Resident memory of a rank's process; rank 0 tells of all ranks.", ("rank",),
)  # fmt: skip
DEVICE_MEMORY = Metric(
    "trainer", "gauge", "finetune_device_memory_bytes",
    "GPU memory of a rank by kind: allocated, reserved, peak; rank 0 tells of all ranks.", ("rank", "kind"),
)  # fmt: skip
MFU = Metric(
    "trainer", "gauge", "finetune_mfu_ratio",
    "Model FLOPs utilization, recently, by convention of counting attention: full, causal; none on CPUs.",
    ("convention",),
)  # fmt: skip
CURRICULUM_PROBABILITY = Metric(
    "trainer", "gauge", "finetune_curriculum_probability", "Probability of drawing an arm.", ("arm",)
)
CURRICULUM_REWARD = Metric("trainer", "gauge", "finetune_curriculum_reward", "Smoothed reward of an arm.", ("arm",))
ARM_TOKENS = Metric("trainer", "counter", "finetune_arm_tokens", "Target tokens trained on, by arm.", ("arm",))
ARM_LOSS = Metric("trainer", "gauge", "finetune_arm_loss", "Recent training loss of an arm, in nats.", ("arm",))
CHECKPOINT_DURATION = Metric(
    "trainer", "histogram", "finetune_checkpoint_duration_seconds",
    "Duration of a checkpoint, by phase: stall of training, persist to disk.", ("phase",), _PERSIST_SECONDS,
)  # fmt: skip
CHECKPOINT_SIZE = Metric("trainer", "gauge", "finetune_checkpoint_size_bytes", "Size of the newest checkpoint.")
LAST_CHECKPOINT = Metric(
    "trainer", "gauge", "finetune_last_checkpoint_timestamp_seconds", "When the newest checkpoint became durable."
)
LAST_STEP = Metric("trainer", "gauge", "finetune_last_step_timestamp_seconds", "When the last step ended.")
TIME = Metric(
    "trainer", "counter", "finetune_time_seconds",
    "Where the time went: productive, startup, data, checkpoint, evaluation, recompute, idle.", ("kind",),
)  # fmt: skip
NONFINITE_STEPS = Metric(
    "trainer", "counter", "finetune_nonfinite_steps", "Steps that were not applied: loss not finite."
)
VALIDATION_LOSS = Metric(
    "trainer", "gauge", "finetune_validation_loss", "Validation loss per target token, in nats.", ("set",)
)
VALIDATION_SCORE = Metric("trainer", "gauge", "finetune_validation_score", "Validation score.", ("metric", "set"))

ALL_METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
