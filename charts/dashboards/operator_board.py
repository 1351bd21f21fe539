"""The operator itself: does it keep up."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as boards

from dashboards.panels import Panel, Section, board, quantiles, variable

IN = '{namespace=~"$namespace"}'


REPLICAS = Section(
    "Replicas",
    (
        Panel(
            "Leaders",
            "Replicas that act; one is right.",
            "short",
            ((f"sum(finetune_operator_is_leader{IN})", "leaders"),),
            "figure",
            8,
        ),
        Panel(
            "Version", "Of each replica.", "none", ((f"finetune_operator_build_info{IN}", "{{version}}"),), "figure", 8
        ),
        Panel(
            "Jobs",
            "FineTuneJobs that the operator knows.",
            "short",
            (("count(kube_finetunejob_info)", "jobs"),),
            "figure",
            8,
        ),
    ),
)
VISITS = Section(
    "Visits to jobs",
    (
        Panel(
            "Visits",
            "Per second, by result.",
            "ops",
            ((f"sum by (result) (rate(finetune_operator_reconciles_total{IN}[$__rate_interval]))", "{{result}}"),),
            "stack",
        ),
        Panel(
            "Time of a visit",
            "Median and 95th percentile; each point is a visit that names its job.",
            "s",
            quantiles("finetune_operator_reconcile_duration_seconds", IN),
            exemplars=True,
        ),
        Panel("Queue", "Jobs that wait for a visit.", "short", ((f"sum(finetune_operator_queue_depth{IN})", "jobs"),)),
        Panel(
            "Time in the queue",
            "From a change of a job to its visit: median and 95th percentile.",
            "s",
            quantiles("finetune_operator_queue_latency_seconds", IN),
        ),
    ),
)
API = Section(
    "API server",
    (
        Panel(
            "Requests by verb and kind",
            "Per second.",
            "ops",
            (
                (
                    f"sum by (verb, kind) (rate(finetune_operator_api_requests_total{IN}[$__rate_interval]))",
                    "{{verb}} {{kind}}",
                ),
            ),
            "stack",
        ),
        Panel(
            "Requests by answer",
            "Per second and code; 0: no answer, 409: somebody else wrote first.",
            "ops",
            ((f"sum by (code) (rate(finetune_operator_api_requests_total{IN}[$__rate_interval]))", "{{code}}"),),
            "stack",
        ),
        Panel(
            "Changes told by watches",
            "Per second, by kind.",
            "ops",
            ((f"sum by (kind) (rate(finetune_operator_watch_events_total{IN}[$__rate_interval]))", "{{kind}}"),),
            "stack",
        ),
        Panel(
            "Age of watches",
            "Time since each kind was last heard of; a quiet cluster is old too.",
            "s",
            ((f"max by (kind) (finetune_operator_watch_age_seconds{IN})", "{{kind}}"),),
        ),
    ),
)


def build() -> boards.Dashboard:
    """The dashboard *Operator*."""
    built = board("operator", "Fine-tuning / Operator", "The operator itself.", (REPLICAS, VISITS, API))
    query = "label_values(finetune_operator_build_info, namespace)"
    return built.with_variable(variable("namespace", "Namespace", query, several=True))
