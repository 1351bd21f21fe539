"""The objects that one attempt of a stage needs, in the order in which they must exist."""

from __future__ import annotations

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.plan import Plan
from finetune_api.runtime import RuntimeSpec
from finetune_api.stages import Stage
from finetune_operator.reconcile import names
from finetune_operator.reconcile.plan import layout
from finetune_operator.reconcile.pods import pod_template
from finetune_operator.reconcile.settings import DEFAULT_SETTINGS, Settings

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""Label that Kubernetes puts on every namespace."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
POD_FAILURE_POLICY: Object = {
    "rules": [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": labels.CONTAINER, "operator": "NotIn", "values": [0]}},
    ]
}
"""Makes the Job record why it failed, with the exit code, so that this is known when its pods are gone."""


def gang_children(
    job: FineTuneJob,
    plan: Plan,
    runtime: RuntimeSpec,
    avoided_nodes: tuple[str, ...] = (),
    settings: Settings = DEFAULT_SETTINGS,
) -> tuple[Object, ...]:
    """What all gangs share, then plan and last the Job: a crash in between leaves no pod without its plan."""
    return (
        *shared_children(job, plan.nodes, settings),
        *config_maps(job, plan, runtime),
        _indexed_job(job, plan, runtime, avoided_nodes),
    )


def shared_children(job: FineTuneJob, nodes: int, settings: Settings = DEFAULT_SETTINGS) -> tuple[Object, ...]:
    """What a gang of so many pods needs and the next one needs as well. Cheap: built at every visit."""
    workspace = job.spec.workspace
    return (
        *((_claim(job),) if workspace is not None and workspace.create is not None else ()),
        *_network_policies(job, settings),
        *((_service(job),) if nodes > 1 else ()),
    )


def config_maps(job: FineTuneJob, plan: Plan, runtime: RuntimeSpec) -> tuple[Object, ...]:
    """The plan of one attempt, and the snapshot of the runtime: one object in the first attempt of the job.

    The snapshot is written once, when the job starts, and read ever after; so the first one stays when its attempt
    is over. If somebody deleted it, a later attempt makes it again, without the plan that nobody needs any more.
    """
    snapshot = {labels.RUNTIME_KEY: runtime.model_dump_json(by_alias=True, exclude_none=True)}
    own = {labels.PLAN_FILE: plan.model_dump_json(by_alias=True, exclude_none=True)}
    if (plan.stage, plan.attempt) == names.FIRST_GANG:
        return (_config_map(job, *names.FIRST_GANG, own | snapshot),)
    return _config_map(job, *names.FIRST_GANG, snapshot), _config_map(job, plan.stage, plan.attempt, own)


def _config_map(job: FineTuneJob, stage: Stage, attempt: int, data: dict[str, str]) -> Object:
    name = names.gang_name(job, stage, attempt)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": child_metadata(job, name, names.child_labels(job, stage, attempt)),
        "immutable": True,
        "data": data,
    }


def read_snapshot(config_map: Object) -> RuntimeSpec:
    """The runtime in a snapshot.

    Raises:
        KeyError, pydantic.ValidationError: if it is none.
    """
    return RuntimeSpec.model_validate_json(config_map["data"][labels.RUNTIME_KEY])


def child_metadata(job: FineTuneJob, name: str, object_labels: dict[str, str]) -> Object:
    """Of an object that the job owns."""
    return {
        "name": name,
        "namespace": job.metadata.namespace or "default",
        "labels": object_labels,
        "ownerReferences": [names.owner_reference(job)],
    }


def _claim(job: FineTuneJob) -> Object:
    create = job.spec.workspace.create if job.spec.workspace is not None else None
    if create is None:
        raise ValueError("spec.workspace.create is not set")
    spec: Object = {"accessModes": list(create.access_modes), "resources": {"requests": {"storage": create.size}}}
    if create.storage_class_name is not None:
        spec["storageClassName"] = create.storage_class_name
    metadata = child_metadata(job, names.claim_name(job), names.child_labels(job))
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _service(job: FineTuneJob) -> Object:
    """Gives pods stable names, from before they are ready: pod 0's is the rendezvous."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(job, names.job_base(job), names.child_labels(job)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {labels.INSTANCE: names.job_base(job)},
            "ports": [
                {"name": "rendezvous", "port": labels.RENDEZVOUS_PORT},
                {"name": "progress", "port": labels.PROGRESS_PORT},
            ],
        },
    }


def _network_policies(job: FineTuneJob, settings: Settings) -> tuple[Object, ...]:
    """Pods of the job reach each other; the operator, and who collects metrics, read their progress; nobody else."""
    if settings.operator_namespace is None:
        return ()
    own_pods = {"matchLabels": {labels.INSTANCE: names.job_base(job)}}
    operator = {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: settings.operator_namespace}},
        "podSelector": {"matchLabels": {labels.NAME: labels.OPERATOR}},
    }
    scrapers = [{"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: name}}} for name in settings.scrape_namespaces]
    policy: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": child_metadata(job, names.job_base(job), names.child_labels(job)),
        "spec": {
            "podSelector": own_pods,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": own_pods}]},
                {"from": [operator, *scrapers], "ports": [{"protocol": "TCP", "port": labels.PROGRESS_PORT}]},
            ],
        },
    }
    return (policy,)


def _indexed_job(job: FineTuneJob, plan: Plan, runtime: RuntimeSpec, avoided_nodes: tuple[str, ...]) -> Object:
    own_labels = names.child_labels(job, plan.stage, plan.attempt) | {labels.PLAN_DIGEST: plan.fingerprint[:16]}
    if runtime.scheduling.queue_name is not None:
        own_labels[QUEUE_LABEL] = runtime.scheduling.queue_name
    metadata = child_metadata(job, names.gang_name(job, plan.stage, plan.attempt), own_labels)
    metadata["annotations"] = {names.PARALLELISM: layout(job.spec, plan.stage)}
    # Where there is a queue, it is the queue that suspends and resumes.
    resumed = {"suspend": False} if runtime.scheduling.queue_name is None else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": resumed
        | {
            "completionMode": "Indexed",
            "completions": plan.nodes,
            "parallelism": plan.nodes,
            # One pod that fails fails the gang, and the reconciler makes a new one: ranks restart together.
            "backoffLimit": 0,
            "podFailurePolicy": POD_FAILURE_POLICY,
            "podReplacementPolicy": "Failed",
            "template": pod_template(job, plan.stage, plan.attempt, runtime, avoided_nodes),
        },
    }
