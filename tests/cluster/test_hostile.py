"""Hostile manifests are refused by the API server itself, so no operator sees them and no pod comes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.control_plane import ControlPlane, KubectlError
from cluster.hostile_cases import JOB_CASES, RUNTIME_CASES, UNKNOWN_IN_A_JOB
from finetune_api.objects import Object
from unit.admission.rule_cases import GOOD, changed, named_by_the_api_server
from unit.admission.runtime_cases import FAILING, ONLY_FOR_THE_PLATFORM_TEAM, runtime

CREATE = ("create", "-f", "-")
LENIENT = ("create", "--validate=ignore", "-f", "-")
"""As clients that do not ask for validation; unknown fields are dropped then."""
DRY = ("--dry-run=server", "-o", "json")
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)


@pytest.fixture(scope="module", autouse=True)
def _nothing_came_of_it(plane: ControlPlane) -> Any:
    yield
    for kind in ("finetunejobs", "finetuneruntimes", "jobs", "pods"):
        items = plane.get(kind, "--all-namespaces")["items"]
        assert [o["metadata"]["name"] for o in items if o["metadata"]["name"] in ("hostile", "tiny")] == []


def refusal(plane: ControlPlane, namespace: str, text: str, command: tuple[str, ...] = CREATE) -> str:
    with pytest.raises(KubectlError) as refused:
        plane.kubectl(*command, "-n", namespace, stdin=text)
    return str(refused.value)


def test_there_are_at_least_forty() -> None:
    assert len(JOB_CASES) + len(RUNTIME_CASES) + len(UNKNOWN_IN_A_JOB) >= 40


@pytest.mark.parametrize(("name", "changes", "field"), JOB_CASES, ids=[case[0] for case in JOB_CASES])
def test_a_hostile_job(name: str, changes: Object, field: str, plane: ControlPlane, namespace: str) -> None:
    assert field in refusal(plane, namespace, json.dumps(changed(changes)), LENIENT), name


@pytest.mark.parametrize(("name", "changes", "field"), UNKNOWN_IN_A_JOB, ids=[case[0] for case in UNKNOWN_IN_A_JOB])
def test_a_job_that_would_be_a_pod(name: str, changes: Object, field: str, plane: ControlPlane, namespace: str) -> None:
    value = json.dumps(changed(changes))
    assert f'unknown field "spec.{field}"' in refusal(plane, namespace, value), name
    taken = json.loads(plane.kubectl(*LENIENT, *DRY, "-n", namespace, stdin=value))
    clean = json.loads(plane.kubectl(*LENIENT, *DRY, "-n", namespace, stdin=json.dumps(GOOD)))
    assert taken["spec"] == clean["spec"]


@pytest.mark.parametrize(("name", "spec", "field"), RUNTIME_CASES, ids=[case[0] for case in RUNTIME_CASES])
def test_a_hostile_runtime(name: str, spec: Object, field: str, plane: ControlPlane, namespace: str) -> None:
    assert field in refusal(plane, namespace, json.dumps(runtime(spec)), LENIENT), name


@pytest.mark.parametrize(("message", "spec", "field"), FAILING, ids=[case[0] for case in FAILING])
def test_each_rule_of_a_runtime(message: str, spec: Object, field: str, plane: ControlPlane, namespace: str) -> None:
    said = refusal(plane, namespace, json.dumps(runtime(spec)))
    assert message in said
    assert named_by_the_api_server(field) in said


def test_a_runtime_of_a_tenant_and_one_of_the_platform_team(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl(*CREATE, *DRY, "-n", namespace, stdin=json.dumps(runtime({})))
    smallest = runtime({}) | {"spec": {"image": "x"}}
    plane.kubectl(*CREATE, *DRY, "-n", namespace, stdin=json.dumps(smallest))
    plane.kubectl(*CREATE, *DRY, stdin=json.dumps(runtime(ONLY_FOR_THE_PLATFORM_TEAM, "ClusterFineTuneRuntime")))


def test_a_service_account_is_no_field_of_a_tenant(plane: ControlPlane, namespace: str) -> None:
    value = json.dumps(runtime({"serviceAccountName": "admin"}))
    assert 'unknown field "spec.serviceAccountName"' in refusal(plane, namespace, value)
    taken = json.loads(plane.kubectl(*LENIENT, *DRY, "-n", namespace, stdin=value))
    assert "serviceAccountName" not in taken["spec"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ALIASES, "document contains excessive aliasing"),
        ("a: !!python/object/apply:os.system [id]\n", "kind"),
        ("kind: FineTuneJob\nspec: " + "[" * 20_000, "error"),
    ],
    ids=["aliases", "a tag of Python", "deep nesting"],
)
def test_hostile_yaml(text: str, said: str, plane: ControlPlane, namespace: str) -> None:
    assert said in refusal(plane, namespace, text)
