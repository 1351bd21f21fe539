"""`FineTuneJob`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from finetune_api.adapt import ALL_LINEAR, Adapt, Align, Fuse
from finetune_api.base import ApiModel, CelRule, form
from finetune_api.common import DnsName, Name
from finetune_api.data import Data
from finetune_api.evaluate import Evaluate, Export
from finetune_api.meta import ObjectMeta
from finetune_api.model import LINEAR_LAYERS, Elastic, Model, Parallelism
from finetune_api.registries import METHODS
from finetune_api.stages import STAGES, Stage
from finetune_api.status import FineTuneJobStatus
from finetune_api.training import Checkpoint, Pretrain


class RuntimeReference(ApiModel):
    """Which runtime the pods are made from."""

    kind: Literal["FineTuneRuntime", "ClusterFineTuneRuntime"] = "ClusterFineTuneRuntime"
    """Namespaced or cluster-wide."""
    name: Name = "cpu"
    """Its name."""


class CreateClaim(ApiModel):
    """A PersistentVolumeClaim that the operator creates."""

    size: str = Field(
        max_length=32, pattern=form(r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$", "must be a size, as in 100Gi")
    )
    """Quantity."""
    storage_class_name: DnsName | None = None
    """Storage class; default: the cluster's."""
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]] = Field(
        default=["ReadWriteMany"], min_length=1, max_length=3
    )
    """Several nodes need ReadWriteMany."""


class Workspace(ApiModel):
    """Volume shared by all stages: data, models, checkpoints, reports."""

    cel_rules = (
        CelRule(
            rule="[has(self.claimName), has(self.create), has(self.path)].filter(x, x).size() == 1",
            message="give exactly one of workspace.claimName, workspace.create and workspace.path",
        ),
    )

    claim_name: DnsName | None = None
    """An existing PersistentVolumeClaim."""
    create: CreateClaim | None = None
    """A new one, owned by the job."""
    path: str | None = Field(default=None, min_length=1, max_length=4096)
    """A folder; local mode only."""


class InfrastructureFailures(ApiModel):
    """Node loss, eviction, killed processes, preemption without a checkpoint."""

    restarts: int = Field(default=10, ge=0, le=64)
    """Restarts of the gang within the window; the status keeps the time of each."""
    window_seconds: int = Field(default=3600, ge=1, le=2_592_000)
    """Length of the window."""


class UserFailures(ApiModel):
    """Bad plan, bad data."""

    restarts: int = Field(default=0, ge=0, le=10)
    """Restarts."""


class FailurePolicy(ApiModel):
    """What is restarted, and how often."""

    infrastructure: InfrastructureFailures = InfrastructureFailures()
    """Failures of the machine."""
    user: UserFailures = UserFailures()
    """Failures that would come again."""
    hang_seconds: int = Field(default=600, ge=10, le=86400)
    """Restart the gang when its heartbeat is older than this."""
    exclude_nodes: bool = True
    """Avoid nodes that failed repeatedly."""


class Lineage(ApiModel):
    """Where this experiment comes from; free text for people."""

    parent: Name | None = None
    """Name of the job this one builds on."""
    hypothesis: str | None = Field(default=None, max_length=2048)
    """What it is meant to find out."""
    rationale: str | None = Field(default=None, max_length=4096)
    """Why."""


def _names_source(block: str, collection: str) -> CelRule:
    return CelRule(
        rule=(
            f"!has(self.{block}) || self.{block}.{collection}.all(x, self.data.sources.exists(s, s.name == x.source))"
        ),
        message=f"every source named in {block}.{collection} must be one of data.sources",
        field_path=f".{block}.{collection}",
    )


def _direction_in_source(variable: str, direction: str) -> str:
    """CEL: the source that `variable` names has both languages of `direction`."""
    return (
        f"self.data.sources.exists(s, s.name == {variable}.source && s.languages.exists(a, s.languages.exists(b, "
        f"a != b && {direction} == a + '-' + b)))"
    )


_DIRECTION_MESSAGE = "must name the two languages of its source, as they are written there, as in en-es"


_ADAPTERS = [name for name, method in METHODS.items() if method.adapter]


def _unchanged(field: str) -> CelRule:
    return CelRule(
        rule=f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        message=f"{field} cannot change once the job exists: create a new job, and name this one in lineage.parent",
        field_path=f".{field}",
    )


class FineTuneJobSpec(ApiModel):
    """A declarative pipeline: data, then each stage that has a block."""

    cel_rules = (
        CelRule(
            rule="has(self.pretrain) || has(self.fuse) || has(self.adapt) || has(self.align) || has(self.evaluate)",
            message="give at least one of pretrain, fuse, adapt, align and evaluate",
        ),
        _names_source("pretrain", "objectives"),
        _names_source("evaluate", "tasks"),
        CelRule(
            rule="!has(self.adapt) || self.data.sources.exists(s, s.name == self.adapt.task.source)",
            message="adapt.task.source must be one of data.sources",
            field_path=".adapt.task.source",
        ),
        CelRule(
            rule=(
                "!has(self.pretrain) || self.pretrain.objectives.all(o, !has(o.directions) || "
                f"o.directions.all(d, {_direction_in_source('o', 'd')}))"
            ),
            message=f"each of pretrain.objectives.directions {_DIRECTION_MESSAGE}",
            field_path=".pretrain.objectives",
        ),
        CelRule(
            rule=(
                "!has(self.adapt) || !has(self.adapt.task.direction) || "
                f"{_direction_in_source('self.adapt.task', 'self.adapt.task.direction')}"
            ),
            message=f"adapt.task.direction {_DIRECTION_MESSAGE}",
            field_path=".adapt.task.direction",
        ),
        CelRule(
            rule=(
                "!has(self.evaluate) || self.evaluate.tasks.all(t, !has(t.direction) || "
                f"{_direction_in_source('t', 't.direction')})"
            ),
            message=f"each of evaluate.tasks.direction {_DIRECTION_MESSAGE}",
            field_path=".evaluate.tasks",
        ),
        CelRule(
            rule=(
                "!has(self.pretrain) || self.pretrain.objectives.all(o, o.type != 'CausalLM' || "
                "self.data.sources.all(s, s.name != o.source || "
                "(has(o.language) ? o.language in s.languages : s.languages.size() == 1)))"
            ),
            message=(
                "a CausalLM objective on a Parallel source needs a language, and it must be one of the source's, "
                "as it is written there"
            ),
            field_path=".pretrain.objectives",
        ),
        CelRule(
            rule=(
                f"!has(self.model.scratch) || !has(self.adapt) || !(self.adapt.method in {_ADAPTERS}) || "
                f"self.adapt.lora.targets.all(t, t in {[*LINEAR_LAYERS, ALL_LINEAR]})"
            ),
            message=f"a model from scratch has no other LoRA targets than {', '.join(LINEAR_LAYERS)} and {ALL_LINEAR}",
            field_path=".adapt.lora.targets",
        ),
        CelRule(
            rule="!has(self.model.scratch) || has(self.pretrain)",
            message="a model from scratch needs a pretrain block: without it only noise would be adapted",
            field_path=".model.scratch",
        ),
        CelRule(
            rule=(
                "!has(self.pretrain) || self.pretrain.batch.globalTokens % (self.pretrain.batch.sequenceLength * "
                "self.parallelism.nodes * self.parallelism.processesPerNode * "
                "(type(self.pretrain.batch.microBatch) == int ? int(self.pretrain.batch.microBatch) : 1)) == 0"
            ),
            message=(
                "pretrain.batch.globalTokens must be a multiple of "
                "sequenceLength x nodes x processesPerNode x microBatch"
            ),
            field_path=".pretrain.batch.globalTokens",
        ),
        CelRule(
            rule=(
                "!has(self.adapt) || self.adapt.batch.globalTokens % (self.adapt.batch.sequenceLength * "
                "self.parallelism.nodes * self.parallelism.processesPerNode * "
                "(type(self.adapt.batch.microBatch) == int ? int(self.adapt.batch.microBatch) : 1)) == 0"
            ),
            message=(
                "adapt.batch.globalTokens must be a multiple of sequenceLength x nodes x processesPerNode x microBatch"
            ),
            field_path=".adapt.batch.globalTokens",
        ),
        CelRule(
            rule=(
                "!has(self.model.scratch) || !has(self.pretrain) || "
                "self.pretrain.batch.sequenceLength <= self.model.scratch.contextLength"
            ),
            message="pretrain.batch.sequenceLength must not exceed model.scratch.contextLength",
            field_path=".pretrain.batch.sequenceLength",
        ),
        CelRule(
            rule=(
                "!has(self.model.scratch) || !has(self.adapt) || "
                "self.adapt.batch.sequenceLength <= self.model.scratch.contextLength"
            ),
            message="adapt.batch.sequenceLength must not exceed model.scratch.contextLength",
            field_path=".adapt.batch.sequenceLength",
        ),
        CelRule(
            rule="!has(self.adapt) || self.adapt.method != 'QLoRA' || self.parallelism.zero.stage <= 2",
            message="QLoRA needs parallelism.zero.stage 2 or lower",
            field_path=".adapt.method",
        ),
        CelRule(
            rule=(
                "!has(self.elastic) || (self.elastic.minNodes <= self.parallelism.nodes && "
                "(!has(self.elastic.maxNodes) || self.elastic.maxNodes >= self.parallelism.nodes))"
            ),
            message="parallelism.nodes must lie between elastic.minNodes and elastic.maxNodes",
            field_path=".elastic",
        ),
        *(
            _unchanged(field)
            for field in (
                "workspace",
                "model",
                "data",
                "pretrain",
                "fuse",
                "adapt",
                "align",
                "evaluate",
                "export",
                "runtimeRef",
            )
        ),
    )

    runtime_ref: RuntimeReference = RuntimeReference()
    """The platform team's template; snapshotted when the job starts."""
    workspace: Workspace | None = None
    """Shared volume; local mode: runs/<name> by default."""
    parallelism: Parallelism = Parallelism()
    """Pods, processes, ZeRO."""
    elastic: Elastic | None = None
    """Let the gang shrink and grow."""
    model: Model
    """The model."""
    data: Data
    """Corpora."""
    pretrain: Pretrain | None = None
    """Stage 2."""
    fuse: Fuse | None = None
    """Stage 3."""
    adapt: Adapt | None = None
    """Stage 4."""
    align: Align | None = None
    """Stage 5."""
    evaluate: Evaluate | None = None
    """Stage 6."""
    export: Export | None = None
    """Stage 7."""
    checkpoint: Checkpoint = Checkpoint()
    """Checkpoints of the training stages."""
    failure_policy: FailurePolicy = FailurePolicy()
    """Restarts."""
    active_deadline_seconds: int | None = Field(default=None, ge=1, le=31_536_000)
    """Running time after which the job fails; starts anew on resume."""
    pending_deadline_seconds: int | None = Field(default=None, ge=1, le=31_536_000)
    """Waiting time for pods after which the job fails."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=315_360_000)
    """Delete the finished job after this time."""
    suspend: bool = False
    """Save a checkpoint, stop all pods, keep the job."""
    lineage: Lineage | None = None
    """For people and comparison tables."""

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this job in the order in which they run; prepare always runs."""
        return tuple(s for s in STAGES if s == "prepare" or getattr(self, s) is not None)


class FineTuneJob(ApiModel):
    """One fine-tuning pipeline."""

    api_version: Literal["finetune-operator.io/v1alpha1"] = "finetune-operator.io/v1alpha1"
    kind: Literal["FineTuneJob"] = "FineTuneJob"
    metadata: ObjectMeta
    spec: FineTuneJobSpec
    status: FineTuneJobStatus | None = None

    @property
    def identity(self) -> str:
        """`namespace/name`, for messages."""
        return f"{self.metadata.namespace or 'default'}/{self.metadata.name}"
