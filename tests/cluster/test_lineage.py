"""Jobs with a parent on a real API server: what they reuse, what they say, and whose claim stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.control_plane import ControlPlane, KubectlError, wait_for
from cluster.jobs import children, job, job_events, status, wait_for_state
from cluster.kubelet import Ending, Kubelet, result_of
from cluster.operator_process import OperatorProcess
from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.stage_result import ReusedStage, StageResult


@pytest.fixture(scope="module")
def operator(plane: ControlPlane) -> Iterator[OperatorProcess]:
    with OperatorProcess(plane) as operator:
        yield operator


ADAPT: Object = {
    "task": {"source": "ui", "direction": "en-es"},
    "batch": {"globalTokens": 1024, "sequenceLength": 64},
    "lora": {"rank": 8},
}


def variant(name: str, namespace: str, rank: int, parent: str = "base", **spec: Any) -> Object:
    adapt = ADAPT | {"lora": {"rank": rank}}
    return job(name, namespace, **({"adapt": adapt, "lineage": {"parent": parent}} | spec))


def reuse_in_prepare(pod: Object) -> Ending:
    """The first pod of a variant finds data and model of its parent."""
    own = pod["metadata"]["labels"]
    if own[labels.STAGE] != "prepare" or own[labels.JOB] == "base":
        return Ending()
    result = StageResult.model_validate_json(result_of(pod, 0)).model_copy(
        update={
            "message": "reused from base · prepare done",
            "reused_from": "base",
            "also_reused": [ReusedStage(stage="pretrain", artifact="models/pretrain", message="pretrain done")],
        }
    )
    return Ending(message=result.to_termination_message())


def gangs_of(plane: ControlPlane, name: str, namespace: str) -> list[str]:
    """Stages of which a job has had a gang."""
    items = plane.get("jobs", "-n", namespace, "-l", f"{labels.JOB}={name}")["items"]
    return sorted(item["metadata"]["labels"][labels.STAGE] for item in items)


def valid_reason(plane: ControlPlane, name: str, namespace: str) -> str:
    conditions = status(plane, name, namespace).get("conditions", ())
    return next((c["reason"] for c in conditions if c["type"] == "Valid"), "")


def test_variants_reuse_what_their_parent_made_and_say_so(
    plane: ControlPlane, namespace: str, operator: OperatorProcess
) -> None:
    with Kubelet(plane, reuse_in_prepare):
        plane.apply(job("base", namespace, adapt=ADAPT))
        wait_for_state(plane, "base", namespace, "Succeeded")
        for number in (1, 2):
            plane.apply(variant(f"v{number}", namespace, number))
        found = [wait_for_state(plane, f"v{number}", namespace, "Succeeded") for number in (1, 2)]
    for stages in (one["stages"] for one in found):
        assert [(s["name"], s["attempt"], s.get("reusedFrom")) for s in stages] == [
            ("prepare", 1, "base"), ("pretrain", 0, "base"), ("adapt", 1, None), ("evaluate", 1, None),
        ]  # fmt: skip
    assert gangs_of(plane, "v1", namespace) == ["adapt", "evaluate", "prepare"]
    told = [e["note"] for e in job_events(plane, namespace) if e["regarding"]["name"] == "v1"]
    assert sorted(note for note in told if "reused" in note or "anew" in note) == [
        "adapt runs anew: spec.adapt.lora.rank differs from base",
        "prepare: reused from base · prepare done",
        "pretrain: reused from base · pretrain done",
    ]
    description = plane.kubectl("describe", "ftj", "v1", "-n", namespace)
    assert "reused from base · pretrain done" in description
    names = [name for kind, name in children(plane, namespace) if kind == "ConfigMap" and name.startswith("v1-")]
    name = next(name for name in names if name.endswith("-evaluate-1"))
    plan = json.loads(plane.get("configmap", name, "-n", namespace)["data"]["plan.json"])
    assert plan["folder"] == "jobs/v1"
    assert plan["inputs"] == {
        "prepare": "prepare-artifact", "pretrain": "models/pretrain", "adapt": "adapt-artifact",
    }  # fmt: skip


def test_a_variant_waits_for_its_parent(plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
    plane.apply(variant("v1", namespace, 16))
    wait_for("the condition", lambda: valid_reason(plane, "v1", namespace) == "ParentNotFound")
    assert status(plane, "v1", namespace)["state"] == "Pending"
    assert gangs_of(plane, "v1", namespace) == []
    with Kubelet(plane, reuse_in_prepare):
        plane.apply(job("base", namespace, adapt=ADAPT))
        wait_for_state(plane, "base", namespace, "Succeeded")
        wait_for_state(plane, "v1", namespace, "Succeeded")


def test_circles_and_strangers_are_refused_before_any_pod(
    plane: ControlPlane, namespace: str, operator: OperatorProcess
) -> None:
    with pytest.raises(KubectlError, match="a job cannot be its own parent"):
        plane.apply(variant("me", namespace, 16, "me"))
    with pytest.raises(KubectlError, match=r"a new claim holds nothing of lineage\.parent"):
        plane.apply(variant("new", namespace, 16, workspace={"create": {"size": "1Gi"}}))
    plane.apply(variant("a", namespace, 16, "b"))
    plane.apply(variant("b", namespace, 16, "a"))
    wait_for("the circle", lambda: valid_reason(plane, "b", namespace) == "ParentCircle")
    plane.apply(job("lone", namespace, suspend=True))
    plane.apply(variant("far", namespace, 16, "lone", workspace={"claimName": "other"}))
    wait_for("the stranger", lambda: valid_reason(plane, "far", namespace) == "ParentElsewhere")
    assert plane.get("pods", "-n", namespace)["items"] == []


def test_a_deleted_parent_leaves_its_claim_to_its_variants(
    plane: ControlPlane, namespace: str, operator: OperatorProcess
) -> None:
    def claims() -> list[Object]:
        items: list[Object] = plane.get("persistentvolumeclaims", "-n", namespace)["items"]
        return items

    with Kubelet(plane, reuse_in_prepare):
        plane.apply(job("base", namespace, adapt=ADAPT, workspace={"create": {"size": "1Gi"}}))
        wait_for_state(plane, "base", namespace, "Succeeded")
        name = claims()[0]["metadata"]["name"]
        for number in (1, 2):
            plane.apply(variant(f"v{number}", namespace, number, workspace={"claimName": name}))
        for number in (1, 2):
            wait_for_state(plane, f"v{number}", namespace, "Succeeded")
        assert [o["name"] for o in claims()[0]["metadata"]["ownerReferences"]] == ["base", "v1", "v2"]
        plane.kubectl("delete", "ftj", "base", "-n", namespace, "--timeout=20s")
        wait_for("the end of base's jobs", lambda: not gangs_of(plane, "base", namespace))
        assert [c["metadata"].get("deletionTimestamp") for c in claims()] == [None]
        plane.kubectl("delete", "ftj", "v1", "v2", "-n", namespace, "--timeout=20s")
        wait_for("the garbage collector", lambda: all("deletionTimestamp" in c["metadata"] for c in claims()))
