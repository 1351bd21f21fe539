"""The metrics of jobs, as parsers of both formats read them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from finetune_api.metrics import ALL_METRICS, COMMON_LABELS
from finetune_api.objects import Object
from finetune_operator.metrics.exposition import expose
from finetune_operator.metrics.job_metrics import values_of
from unit.reconcile.lives import evaluation, run_through
from unit.reconcile.world import World, job_object

Series = tuple[str, frozenset[tuple[str, str]], float]
OPEN = "application/openmetrics-text; version=1.0.0"
PLAIN = "text/plain; version=0.0.4"


def finished(name: str = "ui-en-es") -> Object:
    world = World(job_object())
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=evaluation("None"))
    world.job["metadata"]["name"] = name
    return world.job


def read(accept: str, *jobs: Object) -> dict[str, tuple[str, str, list[Series]]]:
    """(type, help, series) of all families of jobs by name."""
    content_type, body = expose(CollectorRegistry(), jobs, accept)
    assert content_type.startswith(accept.partition(";")[0])
    parse: Any = openmetrics_families if accept == OPEN else text_string_to_metric_families
    return {
        family.name: (
            family.type,
            family.documentation,
            [(s.name, frozenset(s.labels.items()), s.value) for s in family.samples],
        )
        for family in parse(body.decode())
    }


@pytest.mark.parametrize("accept", [PLAIN, OPEN])
def test_parsers_read_what_the_jobs_say(accept: str) -> None:
    jobs = [finished("one"), finished("two")]
    found = read(accept, *jobs)
    expected: set[Series] = set()
    for job in jobs:
        own = zip(COMMON_LABELS["job"], (job["metadata"]["namespace"], job["metadata"]["name"]), strict=True)
        common = list(own)
        for metric, labels, value in values_of(job):
            expected.add((metric.exposed_name, frozenset([*common, *zip(metric.labels, labels, strict=True)]), value))
    series = [one for _, _, family in found.values() for one in family]
    assert set(series) == expected
    assert len(series) == len(expected) > 30


@pytest.mark.parametrize("accept", [PLAIN, OPEN])
def test_families_are_those_of_the_reference(accept: str) -> None:
    described = {m.name: (m.kind, m.help) for m in ALL_METRICS if m.part == "job"}
    assert {name: (kind, text) for name, (kind, text, _) in read(accept).items()} == described


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_label_survives(runtime: str) -> None:
    job = job_object()
    job["spec"]["runtimeRef"] = {"name": runtime}
    _, _, series = read(OPEN, job)["kube_finetunejob_info"]
    ((_, labels, _),) = series
    assert dict(labels)["runtime"] == runtime


def test_the_operators_own_come_with_them() -> None:
    registry = CollectorRegistry()
    Counter("visits", "Visits.", registry=registry).inc()
    _, body = expose(registry, [finished()], OPEN)
    text = body.decode()
    assert text.index("visits_total 1.0") < text.index("kube_finetunejob_info{") < text.index("# EOF")
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
