"""All jobs of a cluster: what runs, what waits, what failed, what it costs."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as boards

from dashboards.panels import Panel, Section, board, variable

IN = '{namespace=~"$namespace"}'
WAIT = f"kube_finetunejob_start_seconds{IN} - kube_finetunejob_created_seconds{IN}"
GPUS = f"count by (namespace) (namespace_finetunejob_pod_gpu:finetune_gpu_utilization:percent{IN})"
TOKENS = 'finetune_tokens_total{namespace=~"$namespace", kind!="padding"}'
FALSE = 'kube_finetunejob_status_condition{namespace=~"$namespace", status="false"}'
SHARED = "(namespace, finetunejob, stage, kind)"
JOBS = Section(
    "Jobs",
    (
        Panel(
            "Jobs by state",
            "As kubectl prints it.",
            "short",
            ((f"count by (state) (kube_finetunejob_state{IN} == 1)", "{{state}}"),),
            "figure",
            24,
        ),
        Panel(
            "States over time",
            "Number of jobs in each state.",
            "short",
            ((f"count by (state) (kube_finetunejob_state{IN} == 1)", "{{state}}"),),
            "stack",
        ),
        Panel(
            "Stages over time",
            "Number of jobs in each stage.",
            "short",
            ((f"count by (stage) (kube_finetunejob_stage_info{IN})", "{{stage}}"),),
            "stack",
        ),
        Panel(
            "Progress",
            "Share of the present stage that is done, by job.",
            "percentunit",
            ((f"kube_finetunejob_progress_ratio{IN}", "{{namespace}}/{{finetunejob}}"),),
            "bars",
        ),
        Panel(
            "Scores",
            "Of each job's model, in the unit of each metric.",
            "short",
            (
                (
                    f"kube_finetunejob_evaluation_score{IN}",
                    "{{namespace}}/{{finetunejob}} {{metric}} {{test_set}} {{shots}}-shot",
                ),
            ),
            "bars",
        ),
    ),
)
USE = Section(
    "Use",
    (
        Panel(
            "Goodput",
            "Share of the time since a job's first pods that became progress.",
            "percentunit",
            ((f"kube_finetunejob_goodput_ratio{IN}", "{{namespace}}/{{finetunejob}}"),),
        ),
        Panel(
            "Queue wait",
            "From a job's creation to its first pods: median and 95th percentile.",
            "s",
            ((f"quantile(0.5, {WAIT})", "p50"), (f"quantile(0.95, {WAIT})", "p95")),
        ),
        Panel(
            "Nodes",
            "Pods of the gangs that run, by namespace.",
            "short",
            ((f"sum by (namespace) (kube_finetunejob_nodes{IN})", "{{namespace}}"),),
            "stack",
            8,
        ),
        Panel(
            "GPU hours",
            "GPUs of jobs' pods times their hours in the time shown; empty without GPUs.",
            "h",
            ((f"sum_over_time({GPUS}[$__range:15s]) / 240", "{{namespace}}"),),
            "bars",
            8,
        ),
        Panel(
            "Tokens per second",
            "Of all jobs, by namespace, without padding.",
            "cps",
            (
                (
                    f"sum by (namespace) (max by {SHARED} (rate({TOKENS}[$__rate_interval])))",
                    "{{namespace}}",
                ),
            ),
            "stack",
            8,
        ),
    ),
)
TROUBLE = Section(
    "Trouble",
    (
        Panel(
            "Failures by reason",
            "Jobs that are there and failed, with the stage in which they did; the condition Succeeded tells more.",
            "short",
            ((f"count by (reason, stage) (kube_finetunejob_failed{IN})", "{{reason}} in {{stage}}"),),
            "stack",
            12,
        ),
        Panel(
            "Restarts by cause",
            "Of gangs of the jobs that are there.",
            "short",
            ((f"sum by (cause) (kube_finetunejob_restarts_total{IN})", "{{cause}}"),),
            "stack",
            12,
        ),
        Panel(
            "Lost time by cause",
            "Of the jobs that are there.",
            "s",
            ((f"sum by (cause) (kube_finetunejob_lost_seconds_total{IN})", "{{cause}}"),),
            "stack",
            12,
        ),
        Panel(
            "Conditions that are false",
            "Number of jobs by condition; Progressing is false of a job that has ended.",
            "short",
            (
                (
                    f"count by (condition) ({FALSE} == 1)",
                    "{{condition}}",
                ),
            ),
            "stack",
            12,
        ),
    ),
)


def build() -> boards.Dashboard:
    """The dashboard *Runs overview*."""
    built = board(
        "runs-overview", "Fine-tuning / Runs overview", "All FineTuneJobs of the cluster.", (JOBS, USE, TROUBLE)
    )
    query = "label_values(kube_finetunejob_info, namespace)"
    return built.with_variable(variable("namespace", "Namespace", query, several=True))
