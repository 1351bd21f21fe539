"""Every rule with a case that passes and a case that fails; tests/cluster holds the API server to the same cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from finetune_api.base import ApiModel, child_models
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.problems import join_problems
from finetune_api.runtime import FineTuneRuntime
from finetune_operator.admission import admit, problems_in
from unit.admission.rule_cases import FAILING, GOOD, IMMUTABLE, MUTABLE, NOT_GIVEN, changed, named_here
from unit.admission.runtime_cases import FAILING as RUNTIME_FAILING
from unit.admission.runtime_cases import ONLY_FOR_THE_PLATFORM_TEAM, runtime


def test_the_good_case_breaks_no_rule() -> None:
    assert problems_in(GOOD) == []


@pytest.mark.parametrize(("message", "changes", "field"), FAILING, ids=[case[0] for case in FAILING])
def test_each_rule_refuses_its_case_at_its_field(message: str, changes: Object, field: str) -> None:
    assert [p.field for p in problems_in(changed(changes)) if message in p.message] == named_here(field)


@pytest.mark.parametrize("batch", [{"globalTokens": 1024}, {"globalTokens": 1024, "sequenceLength": 32}])
def test_rows_that_are_not_given_are_as_long_as_the_context_of_a_new_model(batch: Object) -> None:
    """Of 64 tokens: 384 are three rows on each of two nodes, and less than one of 512."""
    assert problems_in(changed({"adapt.batch": batch})) == []
    assert problems_in(changed({"adapt.batch": batch | {"globalTokens": 384}})) == []


def test_rows_of_a_pretrained_model_are_not_counted_before_it_is_known() -> None:
    pretrained = {"model": {"from": {"uri": "file:///m"}}, "adapt.batch": {"globalTokens": 384}}
    assert problems_in(changed(pretrained)) == []


def test_a_job_that_only_evaluates_needs_no_source_to_train_on() -> None:
    only = {"model": {"from": {"uri": "file:///m"}}, "pretrain": NOT_GIVEN, "adapt": NOT_GIVEN}
    tested = {"data.sources.0.role": "Test", "data.sources.1.role": "Test"}
    assert problems_in(changed(only | tested | {"evaluate.rivals": NOT_GIVEN, "evaluate.gate": NOT_GIVEN})) == []


def test_a_runtime_of_a_tenant_breaks_no_rule() -> None:
    assert problems_in(runtime({})) == []


@pytest.mark.parametrize(("message", "spec", "field"), RUNTIME_FAILING, ids=[case[0] for case in RUNTIME_FAILING])
def test_what_a_tenant_may_not(message: str, spec: Object, field: str) -> None:
    assert [p.field for p in problems_in(runtime(spec)) if message in p.message] == named_here(field)


@pytest.mark.parametrize("field", ONLY_FOR_THE_PLATFORM_TEAM)
def test_what_only_the_platform_team_may(field: str) -> None:
    assert problems_in(runtime(ONLY_FOR_THE_PLATFORM_TEAM, "ClusterFineTuneRuntime")) == []
    assert field in join_problems(problems_in(runtime({field: ONLY_FOR_THE_PLATFORM_TEAM[field]})))


def stored_as(value: Object) -> Object:
    admitted, problems = admit(value)
    assert problems == []
    return admitted


def rules(model: type[ApiModel]) -> Iterator[str]:
    yield from (rule.message for rule in model.cel_rules if not rule.is_transition)
    for _, child in child_models(model):
        yield from rules(child)


def test_every_rule_has_a_failing_case() -> None:
    cases: list[tuple[type[ApiModel], list[Any]]] = [(FineTuneJob, FAILING), (FineTuneRuntime, RUNTIME_FAILING)]
    for model, failing in cases:
        assert [message for message in rules(model) if not any(case[0] in message for case in failing)] == []


@pytest.mark.parametrize("changes", IMMUTABLE)
def test_what_determines_the_result_cannot_change(changes: Object) -> None:
    new, stored = changed(changes), stored_as(GOOD)
    admitted, problems = admit(new, stored)
    assert "cannot change once the job exists" in join_problems(problems)
    assert admitted is new


@pytest.mark.parametrize("changes", MUTABLE)
def test_what_steers_the_run_can_change(changes: Object) -> None:
    stored = stored_as(GOOD)
    admitted, problems = admit(changed(changes), stored)
    assert problems == []
    assert admitted["spec"] != stored["spec"]


def test_kinds_that_are_not_ours_pass_through() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"anything": 1}}
    admitted, problems = admit(pod)
    assert admitted is pod
    assert problems == []
