"""The objects that one attempt of a stage needs, in the order in which they must exist."""

from __future__ import annotations

from typing import Any

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.plan import Plan
from finetune_api.runtime import RuntimeSpec
from finetune_operator.reconcile import names
from finetune_operator.reconcile.plan import layout
from finetune_operator.reconcile.pods import pod_template

Object = dict[str, Any]
RUNTIME_KEY = "runtime.json"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def gang_children(
    job: FineTuneJob, plan: Plan, runtime: RuntimeSpec, avoided_nodes: tuple[str, ...] = ()
) -> tuple[Object, ...]:
    """Runtime snapshot, claim, Service, plan and last the Job: a crash in between leaves no pod without its plan."""
    workspace = job.spec.workspace
    return (
        runtime_snapshot(job, runtime),
        *((_claim(job),) if workspace is not None and workspace.create is not None else ()),
        *((_service(job),) if plan.nodes > 1 else ()),
        _plan_config_map(job, plan),
        _indexed_job(job, plan, runtime, avoided_nodes),
    )


def runtime_snapshot(job: FineTuneJob, runtime: RuntimeSpec) -> Object:
    """The runtime as it was when the job started; written once, read ever after."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(job, names.runtime_name(job), names.child_labels(job)),
        "immutable": True,
        "data": {RUNTIME_KEY: runtime.model_dump_json(by_alias=True, exclude_none=True)},
    }


def read_snapshot(config_map: Object) -> RuntimeSpec:
    """The runtime in a snapshot.

    Raises:
        KeyError, pydantic.ValidationError: if it is none.
    """
    return RuntimeSpec.model_validate_json(config_map["data"][RUNTIME_KEY])


def _metadata(job: FineTuneJob, name: str, object_labels: dict[str, str]) -> Object:
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
    metadata = _metadata(job, names.claim_name(job), names.child_labels(job))
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _service(job: FineTuneJob) -> Object:
    """Gives pods stable names, from before they are ready: pod 0's is the rendezvous."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(job, names.job_base(job), names.child_labels(job)),
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


def _plan_config_map(job: FineTuneJob, plan: Plan) -> Object:
    name = names.gang_name(job, plan.stage, plan.attempt)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(job, name, names.child_labels(job, plan.stage, plan.attempt)),
        "immutable": True,
        "data": {labels.PLAN_FILE: plan.model_dump_json(by_alias=True, exclude_none=True)},
    }


def _indexed_job(job: FineTuneJob, plan: Plan, runtime: RuntimeSpec, avoided_nodes: tuple[str, ...]) -> Object:
    own_labels = names.child_labels(job, plan.stage, plan.attempt) | {labels.PLAN_DIGEST: plan.fingerprint[:16]}
    if runtime.scheduling.queue_name is not None:
        own_labels[QUEUE_LABEL] = runtime.scheduling.queue_name
    metadata = _metadata(job, names.gang_name(job, plan.stage, plan.attempt), own_labels)
    metadata["annotations"] = {names.PARALLELISM: layout(job.spec, plan.stage)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": plan.nodes,
            "parallelism": plan.nodes,
            # One pod that fails fails the gang, and the reconciler makes a new one: ranks restart together.
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "template": pod_template(job, plan.stage, plan.attempt, runtime, avoided_nodes),
        },
    }
