"""The pod template of a gang."""

from __future__ import annotations

import math

from finetune_api import labels
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.runtime import RuntimeSpec
from finetune_api.stages import Stage
from finetune_operator.reconcile import names
from finetune_operator.reconcile.claims import named_claims
from finetune_operator.reconcile.plan import gang_size, workspace_path

WORKSPACE_VOLUME = "workspace"
SAVES_IN_GRACE = 2
MAX_GRACE_SECONDS = 3600
"""As the runtime's own field allows."""
_NCCL_TELLS = {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET"}
"""Which transport it takes: without the right device it takes TCP, and says so nowhere else."""
USER = 65532
"""Neither root nor anybody: the trainer image's user."""


def pod_template(
    job: FineTuneJob, stage: Stage, attempt: int, runtime: RuntimeSpec, avoided_nodes: tuple[str, ...] = ()
) -> Object:
    """Pods of one attempt: restricted Pod Security, no API token, nothing but the workspace to write to."""
    nodes, _ = gang_size(job.spec, stage)
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds(job, runtime),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job, stage, attempt, runtime)],
        "volumes": _volumes(job, stage, attempt, runtime),
    }
    if nodes > 1:
        spec["subdomain"] = names.job_base(job)
    if runtime.service_account_name is not None:
        spec["serviceAccountName"] = runtime.service_account_name
    spec.update(_scheduling(runtime, avoided_nodes))
    metadata: Object = {"labels": names.child_labels(job, stage, attempt)}
    if runtime.network.annotations:
        metadata["annotations"] = dict(runtime.network.annotations)
    return {"metadata": metadata, "spec": spec}


def grace_seconds(job: FineTuneJob, runtime: RuntimeSpec) -> int:
    """Time from SIGTERM to SIGKILL: what the runtime gives, or more if this job was measured to need it.

    A checkpoint may have to wait for the one before it, hence twice the time of the last one.
    """
    progress = job.status.progress if job.status is not None else None
    checkpoint = progress.last_checkpoint if progress is not None else None
    measured = 0.0 if checkpoint is None or checkpoint.seconds is None else checkpoint.seconds
    needed = min(math.ceil(SAVES_IN_GRACE * measured), MAX_GRACE_SECONDS)
    return max(runtime.termination_grace_period_seconds, needed)


def _container(job: FineTuneJob, stage: Stage, attempt: int, runtime: RuntimeSpec) -> Object:
    container: Object = {
        "name": labels.CONTAINER,
        "image": runtime.image,
        "imagePullPolicy": runtime.image_pull_policy,
        "command": ["finetune-trainer", stage, "--plan", f"{labels.PLAN_MOUNT}/{labels.PLAN_FILE}"],
        "env": _environment(job, stage, attempt, runtime),
        "ports": [
            {"name": "rendezvous", "containerPort": labels.RENDEZVOUS_PORT},
            {"name": "progress", "containerPort": labels.PROGRESS_PORT},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], **({"add": ["IPC_LOCK"]} if runtime.network.rdma else {})},
        },
        "terminationMessagePath": labels.TERMINATION_LOG,
        # The last lines of the log say more than nothing when the process could not write its result.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "plan", "mountPath": labels.PLAN_MOUNT, "readOnly": True},
            {"name": WORKSPACE_VOLUME, "mountPath": workspace_path(job.spec)},
            {"name": "shared-memory", "mountPath": labels.SHARED_MEMORY_MOUNT},
            {"name": "tmp", "mountPath": labels.TMP_MOUNT},
            *(
                {"name": volume, "mountPath": f"{labels.CLAIMS_MOUNT}/{claim}", "readOnly": True}
                for claim, volume in _claim_volumes(job).items()
            ),
            *(mount.model_dump(by_alias=True, exclude_defaults=True) for mount in runtime.volume_mounts),
        ],
    }
    resources = runtime.resources.model_dump(exclude_defaults=True)
    if resources:
        container["resources"] = resources
    return container


def _environment(job: FineTuneJob, stage: Stage, attempt: int, runtime: RuntimeSpec) -> list[Object]:
    """The runtime's variables, then ours: the last one of a name counts."""
    nodes, _ = gang_size(job.spec, stage)
    ours = {
        labels.ENV_NODES: str(nodes),
        labels.ENV_RENDEZVOUS_HOST: names.rendezvous_host(job, stage, attempt) if nodes > 1 else "127.0.0.1",
        labels.ENV_RENDEZVOUS_PORT: str(labels.RENDEZVOUS_PORT),
        labels.ENV_PROGRESS_PORT: str(labels.PROGRESS_PORT),
        labels.ENV_TERMINATION_LOG: labels.TERMINATION_LOG,
    }
    if job.spec.workspace is None or job.spec.workspace.path is None:
        ours["HOME"] = labels.TMP_MOUNT  # the root file system is read-only; a local process keeps its own home
    return [
        *({"name": name, "value": value} for name, value in _NCCL_TELLS.items() if runtime.network.rdma),
        *({"name": v.name, "value": v.value} for v in runtime.environment),
        *({"name": name, "value": value} for name, value in ours.items()),
        {"name": labels.ENV_POD_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]


def _volumes(job: FineTuneJob, stage: Stage, attempt: int, runtime: RuntimeSpec) -> list[Object]:
    return [
        {"name": "plan", "configMap": {"name": names.gang_name(job, stage, attempt)}},
        {"name": WORKSPACE_VOLUME, **_workspace(job)},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": runtime.shared_memory}},
        {"name": "tmp", "emptyDir": {}},
        *(
            {"name": volume, "persistentVolumeClaim": {"claimName": claim}}
            for claim, volume in _claim_volumes(job).items()
            if volume != WORKSPACE_VOLUME
        ),
        *runtime.volumes,
    ]


def _claim_volumes(job: FineTuneJob) -> dict[str, str]:
    """The volume of each claim that a URI names. A pod may have only one of a claim, so the workspace's is shared."""
    workspace = job.spec.workspace
    own = (workspace.claim_name or names.claim_name(job)) if workspace is not None else ""
    return {
        claim: WORKSPACE_VOLUME if claim == own else f"claim-{index}"
        for index, claim in enumerate(named_claims(job.spec))
    }


def _workspace(job: FineTuneJob) -> Object:
    workspace = job.spec.workspace
    if workspace is None:
        raise ValueError("a job without spec.workspace is refused before its pods are made")
    if workspace.path is not None:
        return {"hostPath": {"path": workspace.path}}
    return {"persistentVolumeClaim": {"claimName": workspace.claim_name or names.claim_name(job)}}


def _scheduling(runtime: RuntimeSpec, avoided_nodes: tuple[str, ...]) -> Object:
    scheduling = runtime.scheduling
    fields: Object = {
        "nodeSelector": dict(scheduling.node_selector),
        "tolerations": list(scheduling.tolerations),
        "priorityClassName": scheduling.priority_class_name,
        "runtimeClassName": scheduling.runtime_class_name,
    }
    if avoided_nodes:
        # Preferred, not required: where every node has failed, the job goes on rather than wait for ever.
        term = {"key": "metadata.name", "operator": "NotIn", "values": list(avoided_nodes)}
        preference = {"weight": 100, "preference": {"matchFields": [term]}}
        fields["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}
    return {key: value for key, value in fields.items() if value}
