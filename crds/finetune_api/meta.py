"""Object metadata and conditions, in the shape of the Kubernetes API conventions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from finetune_api.base import ApiModel, form
from finetune_api.common import LABEL

ConditionStatus = Literal["True", "False", "Unknown"]


class ObjectMeta(ApiModel):
    """The metadata fields this project reads; all others pass through untouched."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="allow", frozen=True
    )

    name: str = Field(min_length=1, max_length=63, pattern=LABEL)
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    resource_version: str | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Condition(ApiModel):
    """metav1.Condition."""

    type: str = Field(max_length=316)
    """Type of the condition in CamelCase."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: str = Field(
        max_length=1024, pattern=form(r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", "must be one CamelCase word")
    )
    """Machine-readable reason of the last transition."""
    message: str = Field(default="", max_length=32768)
    """What a person should know, with the remedy where there is one."""
    last_transition_time: datetime
    """When the status last changed."""
    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that this condition is about."""
