"""Names, plans and pods of a gang."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.plan import Plan
from finetune_api.runtime import RuntimeSpec
from finetune_api.stages import STAGES
from finetune_api.status import FineTuneJobStatus, LastCheckpoint, ProgressStatus, StageStatus
from finetune_operator.reconcile import DEFAULT_SETTINGS, Settings, names
from finetune_operator.reconcile.children import gang_children, read_snapshot
from finetune_operator.reconcile.plan import fingerprint, make_plan
from finetune_operator.reconcile.pods import pod_template
from unit.reconcile.world import job_object

RUNTIME = RuntimeSpec.model_validate(
    {
        "image": "registry.example/trainer@sha256:0",
        "environment": [{"name": "NCCL_DEBUG", "value": "WARN"}, {"name": labels.ENV_NODES, "value": "99"}],
        "resources": {"limits": {"nvidia.com/gpu": "8"}},
        "sharedMemory": "8Gi",
        "serviceAccountName": "trainer",
        "scheduling": {"queueName": "team-a", "nodeSelector": {"gpu": "a"}, "priorityClassName": "high"},
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    }
)


def parsed(name: str = "ui-en-es", uid: str = "u1", **spec: Any) -> FineTuneJob:
    value = job_object(name, **spec)
    value["metadata"]["uid"] = uid
    return FineTuneJob.from_json_object(value)


def children(
    job: FineTuneJob, stage: Any = "pretrain", attempt: int = 3, settings: Settings = DEFAULT_SETTINGS
) -> dict[str, Object]:
    plan = make_plan(job, StageStatus(name=stage, state="Pending", attempt=attempt), {"prepare": "a"}, DEFAULT_SETTINGS)
    made = gang_children(job, plan, RUNTIME, settings=settings)
    return {f"{c['kind']} {c['metadata']['name']}": c for c in made}


def pod(job: FineTuneJob, stage: Any = "pretrain") -> Object:
    made: Object = next(c for k, c in children(job, stage).items() if k.startswith("Job "))["spec"]["template"]
    return made


@given(
    name=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    uid=st.uuids(),
    stage=st.sampled_from(STAGES),
    attempt=st.integers(1, 9999),
    index=st.integers(0, 4095),
)
def test_names_fit_a_pods_hostname(name: str, uid: object, stage: Any, attempt: int, index: int) -> None:
    job = parsed().model_copy(update={"metadata": parsed().metadata.model_copy(update={"name": name, "uid": str(uid)})})
    gang = names.gang_name(job, stage, attempt)
    assert len(f"{gang}-{index}-abcde") <= 63
    for made in (gang, names.job_base(job), names.runtime_name(job), names.claim_name(job)):
        assert len(made) <= 63
        assert made[0].isalnum()
        assert "--" not in made or "--" in name


def test_names_depend_on_name_and_uid_alone() -> None:
    long = "a" * 60
    made = {names.gang_name(parsed(n, u), "adapt", 1) for n in (long + "1", long + "2", "b") for u in ("u1", "u2")}
    assert len(made) == 4, "cut names of one uid are one job's; another uid is another job"
    with pytest.raises(ValueError, match="between 1 and 9999"):
        names.gang_name(parsed(), "adapt", 0)


def test_children_come_in_the_order_in_which_they_must_exist() -> None:
    made = children(parsed(workspace={"create": {"size": "10Gi"}}))
    assert [key.split()[0] for key in made] == ["PersistentVolumeClaim", "Service", "ConfigMap", "ConfigMap", "Job"]
    for child in made.values():
        assert [o["uid"] for o in child["metadata"]["ownerReferences"]] == ["u1"]
        assert child["metadata"]["labels"][labels.JOB] == "ui-en-es"
    assert [key.split()[0] for key in children(parsed(parallelism={"nodes": 1}))] == ["ConfigMap", "ConfigMap", "Job"]
    assert [key.split()[0] for key in children(parsed(), "prepare")] == ["ConfigMap", "ConfigMap", "Job"]


def test_the_snapshot_gives_the_runtime_back() -> None:
    made = children(parsed())
    assert read_snapshot(made[f"ConfigMap {names.runtime_name(parsed())}"]) == RUNTIME


def test_the_job_restarts_nothing_itself() -> None:
    job = next(c for k, c in children(parsed()).items() if k.startswith("Job "))
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["completionMode"]) == (0, "Indexed")
    assert {rule["action"] for rule in spec["podFailurePolicy"]["rules"]} == {"FailJob"}
    assert (spec["completions"], spec["parallelism"]) == (2, 2)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"


def test_pods_keep_to_the_restricted_standard() -> None:
    spec = pod(parsed())["spec"]
    container = spec["containers"][0]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "hostPath" not in json.dumps(spec)
    volumes = {v["name"]: v for v in spec["volumes"]}
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert volumes["workspace"]["persistentVolumeClaim"] == {"claimName": "medical"}
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert mounts == {
        "plan": "/etc/finetune",
        "workspace": "/workspace",
        "shared-memory": "/dev/shm",
        "tmp": "/tmp",
        "cache": "/cache",
    }


def test_pods_are_told_their_plan_and_their_rendezvous() -> None:
    job = parsed()
    spec = pod(job)["spec"]
    container = spec["containers"][0]
    assert container["command"] == ["finetune-trainer", "pretrain", "--plan", "/etc/finetune/plan.json"]
    # As in Kubernetes, the last variable of a name counts.
    environment = {e["name"]: e.get("value") for e in container["env"]}
    service = names.job_base(job)
    assert environment[labels.ENV_NODES] == "2"
    assert environment[labels.ENV_RENDEZVOUS_HOST] == f"{service}-pretrain-3-0.{service}"
    assert environment["NCCL_DEBUG"] == "WARN"
    assert spec["subdomain"] == service
    assert {"name": labels.ENV_POD_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}} in container["env"]
    own = children(job)[f"Service {service}"]["spec"]
    assert own["clusterIP"] == "None"
    assert own["publishNotReadyAddresses"] is True
    assert own["selector"].items() <= pod(job)["metadata"]["labels"].items()


@pytest.mark.parametrize(("measured", "grace"), [(None, 120), (50.0, 120), (75.4, 151), (9000.0, 3600)])
def test_pods_get_the_time_that_a_checkpoint_was_measured_to_need(measured: float | None, grace: int) -> None:
    checkpoint = LastCheckpoint(step=5, time=datetime(2025, 1, 1, tzinfo=UTC), seconds=measured)
    status = FineTuneJobStatus(progress=ProgressStatus(last_checkpoint=checkpoint))
    job = parsed().model_copy(update={"status": status})
    assert pod(job)["spec"]["terminationGracePeriodSeconds"] == grace
    assert pod(parsed())["spec"]["terminationGracePeriodSeconds"] == 120


def test_claims_that_uris_name_are_mounted_read_only() -> None:
    source = {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "pvc://corpora/en-es/ui.tsv"}
    job = parsed(data={"sources": [source, source | {"name": "more", "uri": "pvc://archive/more.tsv"}]})
    spec = pod(job)["spec"]
    claims = [v["persistentVolumeClaim"] for v in spec["volumes"] if v["name"].startswith("claim-")]
    assert claims == [{"claimName": "archive"}, {"claimName": "corpora"}]
    mounts = [m for m in spec["containers"][0]["volumeMounts"] if m["name"].startswith("claim-")]
    assert [(m["mountPath"], m["readOnly"]) for m in mounts] == [("/claims/archive", True), ("/claims/corpora", True)]


def test_the_workspace_claim_is_one_volume_even_if_a_uri_names_it() -> None:
    source = {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "pvc://medical/ui.tsv"}
    spec = pod(parsed(data={"sources": [source]}))["spec"]
    assert [v["name"] for v in spec["volumes"] if "persistentVolumeClaim" in v] == ["workspace"]
    mounts = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "workspace"]
    assert [(m["mountPath"], m.get("readOnly", False)) for m in mounts] == [
        ("/workspace", False),
        ("/claims/medical", True),
    ]


def test_only_the_job_and_the_operator_reach_the_pods() -> None:
    job = parsed()
    settings = Settings(operator_namespace="operators", scrape_namespaces=("monitoring",))
    made = {v["kind"]: v for v in children(job, settings=settings).values()}
    spec = made["NetworkPolicy"]["spec"]
    own = spec["podSelector"]["matchLabels"]
    template = made["Job"]["spec"]["template"]["metadata"]["labels"]
    assert own.items() <= template.items()
    gang, operator = spec["ingress"]
    assert gang == {"from": [{"podSelector": {"matchLabels": own}}]}
    assert operator["from"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "operators"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "finetune-operator"}},
        },
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    ]
    assert operator["ports"] == [{"protocol": "TCP", "port": labels.PROGRESS_PORT}]
    assert "NetworkPolicy" not in {v["kind"] for v in children(job).values()}


def test_local_pods_see_the_workspace_under_its_own_path() -> None:
    job = parsed(workspace={"path": "/srv/runs/x"})
    spec = pod(job)["spec"]
    assert {"name": "workspace", "hostPath": {"path": "/srv/runs/x"}} in spec["volumes"]
    assert {"name": "workspace", "mountPath": "/srv/runs/x"} in spec["containers"][0]["volumeMounts"]
    assert "HOME" not in {e["name"] for e in spec["containers"][0]["env"]}


def test_the_plan_is_what_the_trainer_reads() -> None:
    job = parsed()
    text = children(job)[f"ConfigMap {names.gang_name(job, 'pretrain', 3)}"]["data"]["plan.json"]
    plan = Plan.model_validate_json(text)
    assert (plan.stage, plan.attempt, plan.nodes, plan.workspace) == ("pretrain", 3, 2, "/workspace")
    assert plan.inputs == {"prepare": "a"}
    assert plan.spec == job.spec
    single = make_plan(job, StageStatus(name="prepare", state="Pending", attempt=1), {}, DEFAULT_SETTINGS)
    assert single.world_size == 1


@pytest.mark.parametrize(
    ("change", "prepare", "pretrain", "evaluate"),
    [
        ({}, False, False, False),
        ({"activeDeadlineSeconds": 5, "suspend": True, "checkpoint": {"everySteps": 3}}, False, False, False),
        ({"workspace": {"claimName": "other"}}, False, False, False),
        ({"data": {"sources": job_object()["spec"]["data"]["sources"], "split": {"seed": 3}}}, True, True, True),
        ({"pretrain": job_object()["spec"]["pretrain"] | {"seed": 3}}, False, True, True),
        ({"parallelism": {"nodes": 1}}, False, True, True),
        ({"evaluate": {"tasks": [{"name": "x", "source": "bench", "direction": "es-en"}]}}, False, False, True),
    ],
)
def test_a_fingerprint_changes_with_what_determines_the_stage(
    change: Object, prepare: bool, pretrain: bool, evaluate: bool
) -> None:
    one, other = parsed().spec, parsed(**change).spec
    changed = {s: fingerprint(one, s) != fingerprint(other, s) for s in one.stages()}
    assert changed == {"prepare": prepare, "pretrain": pretrain, "evaluate": evaluate}
    assert len({fingerprint(one, s) for s in one.stages()}) == 3


def test_rdma_locks_memory_names_networks_and_tells_its_transport() -> None:
    networks = {"k8s.v1.cni.cncf.io/networks": "sriov-a,sriov-b"}
    runtime = RuntimeSpec.model_validate(
        {
            "image": "x",
            "network": {"rdma": True, "annotations": networks},
            "environment": [{"name": "NCCL_DEBUG", "value": "WARN"}],
        }
    )
    template = pod_template(parsed(), "pretrain", 1, runtime)
    (container,) = template["spec"]["containers"]
    assert template["metadata"]["annotations"] == networks
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    environment = {v["name"]: v.get("value") for v in container["env"]}
    assert (environment["NCCL_DEBUG"], environment["NCCL_DEBUG_SUBSYS"]) == ("WARN", "INIT,NET"), "the runtime's counts"


def test_without_rdma_nothing_is_added() -> None:
    template = pod_template(parsed(), "pretrain", 1, RuntimeSpec(image="x"))
    (container,) = template["spec"]["containers"]
    assert "annotations" not in template["metadata"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not [v for v in container["env"] if v["name"].startswith("NCCL")]
