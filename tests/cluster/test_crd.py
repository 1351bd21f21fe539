"""What the API server itself makes of our CRDs."""

from __future__ import annotations

import json

import pytest

from cluster.control_plane import ControlPlane, KubectlError
from cluster.jobs import job
from finetune_api.language_tags import MAX_TAG_LENGTH
from finetune_api.objects import Object
from unit.admission.rule_cases import FAILING, GOOD, IMMUTABLE, MUTABLE, changed, named_by_the_api_server

DRY = ("create", "--dry-run=server", "-f", "-")


def placed(value: Object, namespace: str) -> str:
    return json.dumps(value | {"metadata": value["metadata"] | {"namespace": namespace}})


def test_the_good_case_is_taken(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl(*DRY, stdin=placed(GOOD, namespace))


@pytest.mark.parametrize(("message", "changes", "field"), FAILING, ids=[case[0] for case in FAILING])
def test_each_rule_is_refused_by_the_api_server(
    message: str, changes: Object, field: str, plane: ControlPlane, namespace: str
) -> None:
    with pytest.raises(KubectlError) as refused:
        plane.kubectl(*DRY, stdin=placed(changed(changes), namespace))
    said = str(refused.value)
    assert message in said
    assert named_by_the_api_server(field) in said


def test_edits_of_what_determines_the_result_are_refused_with_the_reason(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl("create", "-f", "-", stdin=placed(GOOD, namespace))
    for changes in IMMUTABLE:
        with pytest.raises(KubectlError, match="cannot change once the job exists"):
            plane.kubectl("replace", "--dry-run=server", "-f", "-", stdin=placed(changed(changes), namespace))
    for changes in MUTABLE:
        plane.kubectl("replace", "--dry-run=server", "-f", "-", stdin=placed(changed(changes), namespace))


def test_defaults_are_shown(plane: ControlPlane, namespace: str) -> None:
    plane.apply(job("shown", namespace))
    spec = plane.get("ftj", "shown", "-n", namespace)["spec"]
    assert spec["runtimeRef"] == {"kind": "ClusterFineTuneRuntime", "name": "cpu"}
    assert spec["pretrain"]["optimizer"]["type"] == "AdamW"


def test_unknown_fields_and_wrong_types_are_refused(plane: ControlPlane, namespace: str) -> None:
    with pytest.raises(KubectlError, match="unknown field"):
        plane.kubectl(*DRY, "--validate=strict", stdin=json.dumps(job("x", namespace, colour="red")))
    with pytest.raises(KubectlError, match="must be of type integer"):
        plane.kubectl(*DRY, stdin=json.dumps(job("x", namespace, parallelism={"nodes": "two"})))


def test_explain_describes_every_field_of_the_spec(plane: ControlPlane) -> None:
    text = plane.kubectl("explain", "ftj.spec", "--recursive")
    assert "gradientClip" in text
    described = plane.kubectl("explain", "ftj.spec")
    assert "<no description>" not in described


@pytest.mark.parametrize("other", ["zh-Hans-CN", "spa_Latn", "ca-valencia", "de-CH-1996", "es-419", "pt_BR"])
def test_language_tags_of_every_shape_are_taken(other: str, plane: ControlPlane, namespace: str) -> None:
    tagged = job("tagged", namespace)
    (source,) = tagged["spec"]["data"]["sources"]
    source["languages"] = ["eng_Latn", other]
    (objective,), (task,) = tagged["spec"]["pretrain"]["objectives"], tagged["spec"]["evaluate"]["tasks"]
    objective["directions"] = [f"eng_Latn-{other}", f"{other}-eng_Latn"]
    task["direction"] = f"{other}-eng_Latn"
    plane.kubectl(*DRY, stdin=json.dumps(tagged))


def test_the_largest_job_that_the_schema_allows_is_within_the_cost_budget(plane: ControlPlane, namespace: str) -> None:
    longest = ["slv-Latn-SI-rozaj-biske-nedis-solba", "por-Latn-BR-abl1943-ao1990-colb1945"]
    assert {len(tag) for tag in longest} == {MAX_TAG_LENGTH}
    there, back = "-".join(longest), "-".join(longest[::-1])
    sources = [
        {"name": f"s{i}", "type": "Parallel", "languages": longest, "uri": "pvc://corpora/" + "x" * 1000}
        for i in range(64)
    ]
    objectives = [
        {"name": f"o{i}", "type": "Translation", "source": f"s{i}", "directions": [there, back]} for i in range(16)
    ]
    tasks = [
        {"name": f"t{i}", "source": f"s{i}", "direction": there, "shots": [0, 1], "metrics": ["BLEU", "chrF++"]}
        for i in range(16)
    ]
    require = [{"metric": "BLEU", "task": f"t{i}", "shots": 1} for i in range(16)]
    large = job("large", namespace, data={"sources": sources})
    large["spec"]["pretrain"]["objectives"] = objectives
    large["spec"]["evaluate"] = {"tasks": tasks, "gate": {"require": require}}
    plane.kubectl(*DRY, stdin=json.dumps(large))
