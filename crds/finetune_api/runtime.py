"""`FineTuneRuntime` and `ClusterFineTuneRuntime`: what the platform team owns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.meta import ObjectMeta


class EnvironmentVariable(ApiModel):
    """A plain environment variable; never a secret."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    value: str = Field(default="", max_length=4096)


class Resources(ApiModel):
    """Of one pod."""

    requests: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Quantities by resource."""
    limits: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Quantities by resource."""


class Scheduling(ApiModel):
    """Where pods go."""

    node_selector: dict[str, str] = Field(default_factory=dict, max_length=32)
    """Labels a node must have."""
    tolerations: list[dict[str, Any]] = Field(default_factory=list, max_length=32)
    """As in a pod."""
    priority_class_name: str | None = Field(default=None, max_length=253)
    """As in a pod."""
    runtime_class_name: str | None = Field(default=None, max_length=253)
    """As in a pod."""
    queue_name: str | None = Field(default=None, max_length=253)
    """Kueue local queue."""


class RuntimeSpec(ApiModel):
    """Template of all pods of a job."""

    image: str = Field(min_length=1, max_length=512)
    """Trainer image, by digest."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """As in a container."""
    environment: list[EnvironmentVariable] = Field(default_factory=list, max_length=64)
    """For NCCL, gloo and the like."""
    resources: Resources = Resources()
    """Of one pod."""
    shared_memory: str = Field(default="1Gi", max_length=32)
    """Size of /dev/shm."""
    service_account_name: str | None = Field(default=None, max_length=253)
    """Default: the namespace's; its token is never mounted."""
    scheduling: Scheduling = Scheduling()
    """Where pods go."""
    volumes: list[dict[str, Any]] = Field(default_factory=list, max_length=16)
    """Extra volumes, as in a pod."""
    volume_mounts: list[dict[str, Any]] = Field(default_factory=list, max_length=16)
    """Extra mounts, as in a container."""
    termination_grace_period_seconds: int = Field(default=120, ge=1, le=3600)
    """Time to save a checkpoint."""


class FineTuneRuntime(ApiModel):
    """Runtime of one namespace."""

    api_version: Literal["finetune-operator.io/v1alpha1"] = "finetune-operator.io/v1alpha1"
    kind: Literal["FineTuneRuntime"] = "FineTuneRuntime"
    metadata: ObjectMeta
    spec: RuntimeSpec


class ClusterFineTuneRuntime(ApiModel):
    """Runtime of the whole cluster."""

    api_version: Literal["finetune-operator.io/v1alpha1"] = "finetune-operator.io/v1alpha1"
    kind: Literal["ClusterFineTuneRuntime"] = "ClusterFineTuneRuntime"
    metadata: ObjectMeta
    spec: RuntimeSpec
