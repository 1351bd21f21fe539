"""One job: is it learning, how fast, and where does its time go."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as boards

from dashboards.panels import Panel, Section, board, note, quantiles, variable

JOB = '{namespace="$namespace", finetunejob="$job"}'
SCORES = "{{metric}} {{test_set}} {{shots}}-shot"
SAVES = "finetune_checkpoint_duration_seconds"
REPORT = """In the workspace: `reports/report.html`. With `evaluate.publish: ConfigMap`, by its job:

`kubectl get configmap ${job}-report -n ${namespace} -o jsonpath='{.data.report\\.json}'`

Conditions with remedies, and events: `kubectl describe ftj ${job} -n ${namespace}`"""

SUMMARY = Section(
    "Now",
    (
        Panel(
            "State", "As kubectl prints it.", "none", ((f"kube_finetunejob_state{JOB} == 1", "{{state}}"),), "figure", 4
        ),
        Panel(
            "Stage",
            "The stage that the job is in.",
            "none",
            ((f"kube_finetunejob_stage_info{JOB}", "{{stage}}"),),
            "figure",
            4,
        ),
        Panel(
            "Progress",
            "Share of the present stage that is done.",
            "percentunit",
            ((f"kube_finetunejob_progress_ratio{JOB}", "progress"),),
            "figure",
            4,
        ),
        Panel(
            "Goodput",
            "Share of the time since the first pods that became progress.",
            "percentunit",
            ((f"kube_finetunejob_goodput_ratio{JOB}", "goodput"),),
            "figure",
            4,
        ),
        Panel(
            "Tokens",
            "Trained on, by stage; kept when its pods are gone.",
            "short",
            ((f"kube_finetunejob_stage_tokens{JOB}", "{{stage}}"),),
            "figure",
            4,
        ),
        Panel(
            "Last loss",
            "Per target token, in nats; kept when the pods are gone.",
            "short",
            (
                (f"kube_finetunejob_stage_loss{JOB}", "{{stage}} training"),
                (f"kube_finetunejob_stage_validation_loss{JOB}", "{{stage}} validation"),
            ),
            "figure",
            4,
        ),
    ),
)
LEARNING = Section(
    "Learning",
    (
        Panel(
            "Training loss",
            "Per target token over recent steps, in nats.",
            "short",
            ((f"max by (stage) (finetune_loss{JOB})", "{{stage}}"),),
        ),
        Panel(
            "Validation loss",
            "Per target token of each validation set, in nats.",
            "short",
            ((f"max by (stage, set) (finetune_validation_loss{JOB})", "{{stage}} {{set}}"),),
        ),
        Panel(
            "Mixture",
            "Probability by which the curriculum draws each arm.",
            "percentunit",
            ((f"max by (arm) (finetune_curriculum_probability{JOB})", "{{arm}}"),),
            "stack",
        ),
        Panel(
            "Loss by arm",
            "Recent training loss of each arm, per target token, in nats.",
            "short",
            ((f"max by (arm) (finetune_arm_loss{JOB})", "{{arm}}"),),
        ),
        Panel(
            "Reward by arm",
            "Smoothed reward that the curriculum's bandit has seen of each arm.",
            "short",
            ((f"max by (arm) (finetune_curriculum_reward{JOB})", "{{arm}}"),),
        ),
        Panel(
            "Learning rate",
            "Of the last step.",
            "short",
            ((f"max by (stage) (finetune_learning_rate{JOB})", "{{stage}}"),),
            width=6,
        ),
        Panel(
            "Gradient norm",
            "Global, before clipping.",
            "short",
            ((f"max by (stage) (finetune_gradient_norm{JOB})", "{{stage}}"),),
            width=6,
        ),
    ),
)
SPEED = Section(
    "Speed",
    (
        Panel(
            "Tokens per second",
            "Over all ranks, by kind; padding is work without learning.",
            "cps",
            ((f"max by (stage, kind) (rate(finetune_tokens_total{JOB}[$__rate_interval]))", "{{stage}} {{kind}}"),),
            "stack",
        ),
        Panel(
            "Step time",
            "Median and 95th percentile of the optimizer steps; each point is a step that tells its number.",
            "s",
            quantiles("finetune_step_duration_seconds", JOB, by="stage"),
            exemplars=True,
        ),
        Panel(
            "Own time of ranks",
            "What a rank needs for its part of a step, without waiting for the others.",
            "s",
            ((f"max by (rank) (finetune_rank_step_seconds{JOB})", "rank {{rank}}"),),
        ),
        Panel(
            "Straggler ratio",
            "Step time of the slowest rank, as a multiple of the median.",
            "short",
            ((f"namespace_finetunejob:finetune_straggler:ratio{JOB}", "slowest / median"),),
        ),
        Panel(
            "Model FLOPs utilization",
            "What the model must compute, as a share of what the GPUs could; the convention says how attention counts. "
            "Empty on CPUs, and on devices whose peak is not known.",
            "percentunit",
            ((f"max by (stage, convention) (finetune_mfu_ratio{JOB})", "{{stage}} {{convention}}"),),
            width=6,
        ),
        Panel(
            "GPU utilisation",
            "Of the GPUs of the job's pods, as DCGM tells; empty without GPUs.",
            "percent",
            ((f"namespace_finetunejob_pod_gpu:finetune_gpu_utilization:percent{JOB}", "{{pod}} GPU {{gpu}}"),),
            width=6,
        ),
    ),
)
MEMORY = Section(
    "Memory",
    (
        Panel(
            "Host memory of ranks",
            "Resident memory of each rank's process; what offload keeps counts here.",
            "bytes",
            ((f"max by (rank) (finetune_host_memory_bytes{JOB})", "rank {{rank}}"),),
        ),
        Panel(
            "GPU memory of ranks",
            "In tensors at most, and held by torch's allocator; empty without GPUs.",
            "bytes",
            (
                (
                    f"max by (rank, kind) (finetune_device_memory_bytes{JOB})",
                    "rank {{rank}} {{kind}}",
                ),
            ),
        ),
    ),
)
SAFETY = Section(
    "Where the time goes",
    (
        Panel(
            "Time by kind",
            "Seconds of a rank since its start: what is not productive is lost.",
            "s",
            ((f"max by (stage, kind) (finetune_time_seconds_total{JOB})", "{{stage}} {{kind}}"),),
            "stack",
        ),
        Panel(
            "Lost time by cause",
            "Seconds of the job that did not become progress.",
            "s",
            ((f"kube_finetunejob_lost_seconds_total{JOB}", "{{cause}}"),),
            "stack",
        ),
        Panel(
            "Checkpoint time",
            "Mean stall of training, and mean time until a checkpoint is durable.",
            "s",
            (
                (
                    f"max by (stage, phase) ({SAVES}_sum{JOB} / {SAVES}_count{JOB})",
                    "{{stage}} {{phase}}",
                ),
            ),
            width=8,
        ),
        Panel(
            "Checkpoint age",
            "What a restart now would lose.",
            "s",
            ((f"time() - max by (stage) (finetune_last_checkpoint_timestamp_seconds{JOB})", "{{stage}}"),),
            width=8,
        ),
        Panel(
            "Checkpoint size",
            "Of the newest one.",
            "bytes",
            ((f"max by (stage) (finetune_checkpoint_size_bytes{JOB})", "{{stage}}"),),
            width=8,
        ),
        Panel(
            "Restarts by cause",
            "Of gangs, since the job began. Empty: none.",
            "short",
            ((f"kube_finetunejob_restarts_total{JOB}", "{{cause}}"),),
        ),
        Panel(
            "Steps that were not applied",
            "Their loss was not finite.",
            "short",
            ((f"max by (stage) (finetune_nonfinite_steps_total{JOB})", "{{stage}}"),),
        ),
    ),
)
RESULT = Section(
    "Result",
    (
        Panel(
            "Scores",
            "Of the job's model, in the unit of each metric.",
            "short",
            ((f"kube_finetunejob_evaluation_score{JOB}", SCORES),),
            "bars",
        ),
        Panel(
            "Scores of the baseline",
            "Of what the job's model is compared with.",
            "short",
            ((f"kube_finetunejob_evaluation_baseline_score{JOB}", SCORES),),
            "bars",
        ),
        Panel(
            "Outcome",
            "Of the evaluation, by the first metric of each test and the failures of the outputs.",
            "none",
            ((f"kube_finetunejob_evaluation_outcome{JOB}", "{{outcome}}"),),
            "figure",
            24,
        ),
    ),
)


def build() -> boards.Dashboard:
    """The dashboard *Run*."""
    built = board(
        "run",
        "Fine-tuning / Run",
        "One FineTuneJob from its first step to its scores.",
        (SUMMARY, LEARNING, SPEED, MEMORY, SAFETY, RESULT),
    )
    return (
        built.with_variable(variable("namespace", "Namespace", "label_values(kube_finetunejob_info, namespace)"))
        .with_variable(
            variable("job", "Job", 'label_values(kube_finetunejob_info{namespace="$namespace"}, finetunejob)')
        )
        .with_panel(note("Report", "How to open the evaluation report.", REPORT))
    )
