"""What a tenant does in the namespace that is theirs changes nothing in another one, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane, KubectlError, wait_for
from cluster.jobs import job, status, wait_for_state
from cluster.kubelet import Ending, Kubelet
from cluster.operator_process import OperatorProcess
from finetune_api import labels
from finetune_api.base import API_VERSION
from finetune_api.objects import Object
from finetune_operator.reconcile.names import base_name

NAME = "shared"
"""Of the job that is attacked, and of its namesake."""
KINDS = "ftj,finetuneruntimes,jobs,pods,services,configmaps,persistentvolumeclaims,networkpolicies,events"
RULES = [
    {
        "apiGroups": ["finetune-operator.io", "batch", ""],
        "resources": ["finetunejobs", "finetuneruntimes", "jobs", "pods", "configmaps"],
        "verbs": ["*"],
    }
]


@pytest.fixture(scope="module")
def operator(plane: ControlPlane) -> Iterator[OperatorProcess]:
    """It serves all namespaces, and looks at children without a watch every second."""
    with OperatorProcess(plane, CHILDREN_SECONDS="1") as operator:
        yield operator


def ending(pod: Object) -> Ending:
    """Pretraining of the attacked job runs on; everything else ends well."""
    goes_on = pod["metadata"]["namespace"] == "victim" and pod["metadata"]["labels"][labels.STAGE] == "pretrain"
    return Ending(after_seconds=None if goes_on else 0.2)


@pytest.fixture(scope="module")
def victim(plane: ControlPlane, operator: OperatorProcess) -> Iterator[str]:
    """A namespace with a running job that has every kind of child, and a runtime of its own."""
    plane.kubectl("delete", "ftj", "--all", "--all-namespaces")  # namespaces of earlier tests take a while to go
    plane.kubectl("create", "namespace", "victim")
    reference = {"kind": "FineTuneRuntime", "name": "secret-recipe"}
    with Kubelet(plane, ending):
        plane.apply(runtime("victim"), job(NAME, "victim", runtimeRef=reference, workspace={"create": {"size": "1Gi"}}))
        wait_for("pretraining", lambda: is_ready(plane))
        yield "victim"
    plane.kubectl("delete", "namespace", "victim", "--wait=false")


def runtime(namespace: str) -> Object:
    """A runtime."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FineTuneRuntime",
        "metadata": {"name": "secret-recipe", "namespace": namespace},
        "spec": {"image": "registry.example/trainer@sha256:" + 64 * "0"},
    }


def is_ready(plane: ControlPlane) -> bool:
    """Whether the attacked job runs and has come to rest."""
    now = status(plane, NAME, "victim")
    ready = any(c["type"] == "PodsReady" and c["status"] == "True" for c in now.get("conditions", ()))
    return ready and now.get("currentStage") == "pretrain"


@pytest.fixture
def tenant(plane: ControlPlane, namespace: str) -> str:
    """A namespace in which the user `tenant` may do what users of the operator do, and nowhere else."""
    meta = {"name": "tenant", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    plane.apply(
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": RULES},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "tenant"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "tenant"}],
        },
    )
    wait_for("the service account", lambda: plane.succeeds("get", "serviceaccount", "default", "-n", namespace))
    wait_for("the rights", lambda: may(plane, "create", "finetunejobs", namespace))
    return namespace


def may(plane: ControlPlane, verb: str, resource: str, namespace: str) -> bool:
    """Whether the tenant is allowed to do it."""
    try:
        return plane.kubectl("auth", "can-i", verb, resource, "-n", namespace, user="tenant").strip() == "yes"
    except KubectlError:
        return False


@pytest.fixture(autouse=True)
def unharmed(plane: ControlPlane, victim: str, operator: OperatorProcess) -> Iterator[None]:
    """After each attack and a look of the operator at everything, the victim's objects are what they were."""
    before = everything(plane)
    kinds = {"FineTuneJob", "FineTuneRuntime", "Job", "Pod", "Service", "ConfigMap", "NetworkPolicy", "Event"}
    assert {kind for kind, _ in before} >= kinds
    yield
    wait_for_a_look_at_everything(operator)
    after = everything(plane)
    assert sorted(after) == sorted(before)
    for key, value in before.items():
        assert after[key] == value, key


def everything(plane: ControlPlane) -> dict[tuple[str, str], Object]:
    """All objects of the victim; of events those about jobs, for the claim's go on while nobody provides a volume."""
    items = plane.get(KINDS, "-n", "victim")["items"]
    told = [o for o in items if o["kind"] != "Event" or o["involvedObject"]["kind"] in ("FineTuneJob", "Job")]
    return {(o["kind"], o["metadata"]["name"]): o for o in told}


def wait_for_a_look_at_everything(operator: OperatorProcess) -> None:
    """Until what is not watched was read anew twice, and no job waits for a visit."""
    before = lists(operator, "Service")
    wait_for("two looks", lambda: lists(operator, "Service") >= before + 2)
    wait_for("an empty queue", lambda: "finetune_operator_queue_depth 0.0" in (operator.ask("metrics") or ""))


def lists(operator: OperatorProcess, kind: str) -> float:
    """How often objects of a kind were read."""
    lines = (operator.ask("metrics") or "").splitlines()
    return sum(float(x.split()[-1]) for x in lines if f'kind="{kind}"' in x and 'verb="GET"' in x)


def forged(plane: ControlPlane, kind: str, namespace: str) -> Object:
    """What the tenant passes off as a child of the victim's job: with its labels and its owner."""
    uid = plane.get("ftj", NAME, "-n", "victim")["metadata"]["uid"]
    gang = next(o for (k, name), o in everything(plane).items() if k == "Job" and "-pretrain-" in name)
    owner = {"apiVersion": API_VERSION, "kind": "FineTuneJob", "name": NAME, "uid": uid, "controller": True}
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [{"name": labels.CONTAINER, "image": "none"}],
    }
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "v1",
        "kind": kind,
        "metadata": {
            "name": gang["metadata"]["name"] + ("" if kind == "Job" else "-0-abcde"),
            "namespace": namespace,
            "labels": gang["metadata"]["labels"],
            "ownerReferences": [owner],
        },
        "spec": pod
        if kind == "Pod"
        else {"template": {"metadata": {"labels": gang["metadata"]["labels"]}, "spec": pod}},
    }


def test_the_tenant_has_no_right_in_the_other_namespace(plane: ControlPlane, tenant: str) -> None:
    for verb in ("get", "create", "patch", "delete"):
        assert may(plane, verb, "configmaps", tenant)
        assert not may(plane, verb, "configmaps", "victim")


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_a_forged_child_is_nobodys(plane: ControlPlane, tenant: str, kind: str) -> None:
    value = forged(plane, kind, tenant)
    plane.apply(value, user="tenant")
    name = value["metadata"]["name"]
    wait_for(
        "the garbage collector, for the owner is not in this namespace",
        lambda: not plane.succeeds("get", kind.lower(), name, "-n", tenant),
    )


def test_a_namesake_has_children_of_its_own(plane: ControlPlane, tenant: str) -> None:
    theirs = plane.get("ftj", NAME, "-n", "victim")["metadata"]["uid"]
    value = job(NAME, tenant)
    value["metadata"]["labels"] = {"uid": theirs, labels.JOB: NAME, labels.INSTANCE: base_name(NAME, theirs)}
    plane.apply(value, user="tenant")
    wait_for_state(plane, NAME, tenant, "Succeeded")
    own = plane.get("ftj", NAME, "-n", tenant)["metadata"]["uid"]
    for child in plane.get("jobs,configmaps", "-n", tenant, "-l", labels.JOB)["items"]:
        assert [o["uid"] for o in child["metadata"]["ownerReferences"]] == [own]


def test_a_namesake_that_says_it_belongs_to_the_other_job(plane: ControlPlane, tenant: str) -> None:
    value = job(NAME, tenant)
    value["metadata"]["ownerReferences"] = forged(plane, "Job", tenant)["metadata"]["ownerReferences"]
    plane.apply(value, user="tenant")
    wait_for("the garbage collector", lambda: not plane.succeeds("get", "ftj", NAME, "-n", tenant))


def test_the_others_claim_is_not_within_reach(plane: ControlPlane, tenant: str) -> None:
    claim = next(name for kind, name in everything(plane) if kind == "PersistentVolumeClaim")
    plane.apply(job("thief", tenant, workspace={"claimName": claim}), user="tenant")
    wait_for_state(plane, "thief", tenant, "Succeeded")  # the played kubelet mounts nothing
    assert plane.get("persistentvolumeclaims", "-n", tenant)["items"] == []
    for child in plane.get("jobs", "-n", tenant, "-l", f"{labels.JOB}=thief")["items"]:
        volumes = child["spec"]["template"]["spec"]["volumes"]
        assert claim in [v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v]


def test_the_others_runtime_is_not_found(plane: ControlPlane, tenant: str) -> None:
    reference = {"kind": "FineTuneRuntime", "name": "secret-recipe"}
    with pytest.raises(KubectlError, match=r'spec\.runtimeRef\): unknown field "namespace"'):
        plane.apply(job("copy", tenant, runtimeRef=reference | {"namespace": "victim"}), user="tenant")
    plane.apply(job("copy", tenant, runtimeRef=reference), user="tenant")

    def is_refused() -> bool:
        conditions = status(plane, "copy", tenant).get("conditions", ())
        return any(c["type"] == "Valid" and c["reason"] == "RuntimeNotFound" for c in conditions)

    wait_for("the condition", is_refused)
    assert plane.get("jobs,configmaps", "-n", tenant, "-l", labels.JOB)["items"] == []


@pytest.mark.parametrize(
    "own", [{}, {labels.MANAGED_BY: labels.OPERATOR, labels.JOB: "early"}], ids=["plain", "labelled"]
)
def test_what_has_a_childs_name_is_not_taken_over(plane: ControlPlane, tenant: str, own: dict[str, str]) -> None:
    plane.apply(job("early", tenant, suspend=True), user="tenant")
    wait_for_state(plane, "early", tenant, "Suspended")
    uid = plane.get("ftj", "early", "-n", tenant)["metadata"]["uid"]
    name = f"{base_name('early', uid)}-prepare-1"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": tenant, "labels": own}}
    plane.apply(config | {"data": {"plan.json": "mine"}}, user="tenant")
    made = plane.get("configmap", name, "-n", tenant)
    plane.kubectl(
        "patch", "ftj", "early", "-n", tenant, "--type=merge", "-p", '{"spec":{"suspend":false}}', user="tenant"
    )

    def told() -> str:
        conditions = status(plane, "early", tenant).get("conditions", ())
        return next((c["message"] for c in conditions if c["reason"] == "CreateFailed"), "")

    message = wait_for("the condition", told)
    assert message == (
        f"cannot create ConfigMap {name}: one that does not belong to this job has its name. "
        "Delete or rename that one, and the job goes on"
    )
    assert plane.get("configmap", name, "-n", tenant) == made
    assert plane.get("jobs", "-n", tenant)["items"] == []
    plane.kubectl("delete", "configmap", name, "-n", tenant, user="tenant")
    wait_for_state(plane, "early", tenant, "Succeeded")
