"""What the operator tells of itself."""

from __future__ import annotations

from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from finetune_api import metrics
from finetune_operator.metrics.operator_metrics import OperatorMetrics


def exemplars(own: OperatorMetrics) -> list[dict[str, str]]:
    text = generate_latest(own.registry).decode()  # type: ignore[no-untyped-call]
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    (visits,) = (family for family in families if family.name == metrics.RECONCILE_DURATION.name)
    return [sample.exemplar.labels for sample in visits.samples if sample.exemplar]


def test_a_slow_visit_has_the_name_of_its_job() -> None:
    own = OperatorMetrics(lambda: 0)
    own.visited("success", 0.001, ("team-a", "quick"))
    own.visited("error", 7.0, ("team-a", "slow"))
    assert {"namespace": "team-a", "finetunejob": "slow"} in exemplars(own)


def test_names_too_long_for_an_exemplar_are_left_out() -> None:
    own = OperatorMetrics(lambda: 0)
    own.visited("success", 0.2, ("n" * 63, "j" * 63))
    assert exemplars(own) == []
