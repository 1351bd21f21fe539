"""`FineTuneRuntime` and `ClusterFineTuneRuntime`: what the platform team owns."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from finetune_api import labels
from finetune_api.base import ApiModel, CelRule, each, form
from finetune_api.common import DnsName, Name
from finetune_api.meta import ObjectMeta
from finetune_api.objects import Object

Quantity = Annotated[
    str,
    Field(
        max_length=32,
        pattern=form(
            r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?$",
            "must be a quantity, as in 500m, 4 or 16Gi",
        ),
    ),
]
"""As Kubernetes writes amounts: 500m, 4, 16Gi."""
ImageName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        pattern=form(
            r"^[A-Za-z0-9][-A-Za-z0-9._:/@+]*$", "must be an image name, as in registry.example.com/team/trainer:1.2"
        ),
    ),
]
_OPERATORS_PLACES = (
    labels.CLAIMS_MOUNT,
    labels.PLAN_MOUNT,
    labels.SHARED_MEMORY_MOUNT,
    labels.TMP_MOUNT,
    labels.WORKSPACE_MOUNT,
)
_KERNELS_PLACES = ("/dev", "/proc", "/run", "/sys", "/var/run")
_OPERATORS_VARIABLES = (
    "^(LD_.*|PYTHON.*|GLIBC_TUNABLES|PATH|BASH_ENV|ENV|IFS|SHELLOPTS|FINETUNE_.*|JOB_COMPLETION_INDEX"
    "|MASTER_ADDR|MASTER_PORT|RANK|LOCAL_RANK|WORLD_SIZE|GROUP_RANK|LOCAL_WORLD_SIZE|TORCHELASTIC_.*)$"
)


class EnvironmentVariable(ApiModel):
    """A plain environment variable; never a secret."""

    name: str = Field(
        min_length=1,
        max_length=128,
        pattern=form(r"^[A-Za-z_][A-Za-z0-9_]*$", "must be the name of an environment variable: letters, digits and _"),
    )
    value: str = Field(default="", max_length=4096)


class Resources(ApiModel):
    """Of one pod."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=16)
    """Quantities by resource."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=16)
    """Quantities by resource."""


class Scheduling(ApiModel):
    """Where pods go."""

    node_selector: dict[str, str] = Field(default_factory=dict, max_length=32)
    """Labels a node must have."""
    tolerations: list[Object] = Field(default_factory=list, max_length=32)
    """As in a pod."""
    priority_class_name: DnsName | None = None
    """As in a pod."""
    runtime_class_name: DnsName | None = None
    """As in a pod."""
    queue_name: DnsName | None = None
    """Kueue local queue."""


def _is_in(path: str, places: tuple[str, ...]) -> str:
    """CEL: `path` is one of these folders or below one."""
    return f"{list(places)}.exists(p, {path} == p || {path}.startsWith(p + '/'))".replace('"', "'")


class VolumeMount(ApiModel):
    """As in a container."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!self.mountPath.matches('/[.][.](/|$)')",
            message="mountPath must not contain '..'",
            field_path=".mountPath",
        ),
        CelRule(
            rule="!has(self.subPath) || !self.subPath.matches('(^|/)[.][.](/|$)')",
            message="subPath must not contain '..'",
            field_path=".subPath",
        ),
        CelRule(
            rule=f"!{_is_in('self.mountPath', _OPERATORS_PLACES)}",
            message=f"mountPath must not be in {', '.join(_OPERATORS_PLACES)}: what is there is the operator's",
            field_path=".mountPath",
        ),
    )

    name: Name
    """Of the volume."""
    mount_path: str = Field(
        max_length=512,
        pattern=form(
            r"^(/[-A-Za-z0-9._]+)+$", "must be a full path of letters, digits, '-', '.' and '_', as in /data/cache"
        ),
    )
    """Where it is in the container."""
    sub_path: str | None = Field(
        default=None,
        max_length=512,
        pattern=form(
            r"^[-A-Za-z0-9._]+(/[-A-Za-z0-9._]+)*$", "must be a relative path of letters, digits, '-', '.' and '_'"
        ),
    )
    """What of it, if not all."""
    read_only: bool = False
    """Whether nothing is written there."""


class TenantVolumeMount(VolumeMount):
    """As in a container, where a tenant may mount."""

    cel_rules = (
        *VolumeMount.cel_rules,
        CelRule(
            rule=f"!{_is_in('self.mountPath', _KERNELS_PLACES)}",
            message=f"mountPath must not be in {', '.join(_KERNELS_PLACES)}: that takes a ClusterFineTuneRuntime",
            field_path=".mountPath",
        ),
    )


class TenantVolume(ApiModel):
    """A volume that a tenant may mount: nothing of the node, no secret, no token."""

    cel_rules = (
        CelRule(
            rule=(
                "[has(self.configMap), has(self.downwardAPI), has(self.emptyDir), has(self.ephemeral), "
                "has(self.persistentVolumeClaim)].filter(x, x).size() == 1"
            ),
            message=(
                "a volume has exactly one of configMap, downwardAPI, emptyDir, ephemeral and persistentVolumeClaim; "
                "other types take a ClusterFineTuneRuntime"
            ),
        ),
    )

    name: Name
    """By which volumeMounts name it."""
    config_map: Object | None = None
    """As in a pod."""
    downward_api: Object | None = Field(default=None, alias="downwardAPI")
    """As in a pod."""
    empty_dir: Object | None = None
    """As in a pod."""
    ephemeral: Object | None = None
    """As in a pod."""
    persistent_volume_claim: Object | None = None
    """As in a pod."""


class CommonRuntimeSpec(ApiModel):
    """What both kinds of runtime say about the pods of a job."""

    image: ImageName
    """Trainer image, by digest."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """As in a container."""
    environment: list[EnvironmentVariable] = Field(default_factory=list, max_length=64)
    """For NCCL, gloo and the like."""
    resources: Resources = Resources()
    """Of one pod."""
    shared_memory: Quantity = "1Gi"
    """Size of /dev/shm."""
    scheduling: Scheduling = Scheduling()
    """Where pods go."""
    termination_grace_period_seconds: int = Field(default=120, ge=1, le=3600)
    """Time to save a checkpoint; more where one was measured to need more."""


class Network(ApiModel):
    """How pods reach each other beside the cluster's own network."""

    rdma: bool = False
    """Whether NCCL may use RDMA: pods may lock memory (IPC_LOCK), and log which transport NCCL takes. The device itself
    is a resource, as in rdma/hca: 1. Restricted Pod Security does not allow it."""
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default_factory=dict, max_length=16)
    """Of the pods, for further networks: k8s.v1.cni.cncf.io/networks of Multus and the like."""


class RuntimeSpec(CommonRuntimeSpec):
    """Template of all pods of a job."""

    network: Network = Network()
    """Further networks and RDMA."""
    service_account_name: DnsName | None = None
    """Default: the namespace's; its token is never mounted."""
    volumes: list[Object] = Field(default_factory=list, max_length=16)
    """Extra volumes, as in a pod."""
    volume_mounts: list[VolumeMount] = Field(default_factory=list, max_length=16)
    """Extra mounts, as in a container."""


class TenantRuntimeSpec(CommonRuntimeSpec):
    """A template that a tenant may write: it gives pods nothing that the tenant's own namespace does not have."""

    cel_rules = (
        each(
            ".environment",
            f"!x.name.matches('{_OPERATORS_VARIABLES}')",
            "environment must not set variables of the loader, the interpreter, the shell or the operator",
            unless="!has(self.environment)",
            field=".name",
        ),
        CelRule(
            rule="!has(self.scheduling.priorityClassName) || !self.scheduling.priorityClassName.startsWith('system-')",
            message="scheduling.priorityClassName must not be one of the system's",
            field_path=".scheduling.priorityClassName",
        ),
    )

    volumes: list[TenantVolume] = Field(default_factory=list, max_length=16)
    """Extra volumes, as in a pod: configMap, downwardAPI, emptyDir, ephemeral or persistentVolumeClaim."""
    volume_mounts: list[TenantVolumeMount] = Field(default_factory=list, max_length=16)
    """Extra mounts, as in a container."""


class FineTuneRuntime(ApiModel):
    """Runtime of one namespace."""

    api_version: Literal["finetune-operator.io/v1alpha1"] = "finetune-operator.io/v1alpha1"
    kind: Literal["FineTuneRuntime"] = "FineTuneRuntime"
    metadata: ObjectMeta
    spec: TenantRuntimeSpec


class ClusterFineTuneRuntime(ApiModel):
    """Runtime of the whole cluster."""

    api_version: Literal["finetune-operator.io/v1alpha1"] = "finetune-operator.io/v1alpha1"
    kind: Literal["ClusterFineTuneRuntime"] = "ClusterFineTuneRuntime"
    metadata: ObjectMeta
    spec: RuntimeSpec


def pod_runtime(runtime: FineTuneRuntime | ClusterFineTuneRuntime) -> RuntimeSpec:
    """What pods are made from, of either kind."""
    return RuntimeSpec.model_validate(runtime.spec.to_json_object())
