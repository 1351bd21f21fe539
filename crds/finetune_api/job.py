"""`FineTuneJob`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from finetune_api.adapt import ALL_LINEAR, Adapt, AdaptBatch, Align, Fuse
from finetune_api.base import ApiModel, CelRule, each, form
from finetune_api.common import DnsName, Name
from finetune_api.data import Data
from finetune_api.evaluate import Evaluate, Export
from finetune_api.layout import VARIANTS_FOLDER
from finetune_api.meta import ObjectMeta
from finetune_api.model import LINEAR_LAYERS, Elastic, Model, Parallelism
from finetune_api.registries import METHODS
from finetune_api.stages import STAGES, Stage
from finetune_api.status import FineTuneJobStatus
from finetune_api.training import Batch, Checkpoint, Pretrain


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
    """Where this experiment comes from."""

    parent: Name | None = None
    """Job of the same namespace and workspace claim whose first stages are reused, as far as they are the same."""
    hypothesis: str | None = Field(default=None, max_length=2048)
    """What it is meant to find out."""
    rationale: str | None = Field(default=None, max_length=4096)
    """Why."""


def _names_source(block: str, collection: str) -> CelRule:
    return each(
        f".{block}.{collection}",
        "self.data.sources.exists(s, s.name == x.source)",
        f"every source named in {block}.{collection} must be one of data.sources",
        unless=f"!has(self.{block})",
        field=".source",
    )


def _direction_in_source(variable: str, direction: str) -> str:
    """CEL: the source that `variable` names has both languages of `direction`."""
    return (
        f"self.data.sources.exists(s, s.name == {variable}.source && s.languages.exists(a, s.languages.exists(b, "
        f"a != b && {direction} == a + '-' + b)))"
    )


_DIRECTION_MESSAGE = "must name the two languages of its source, as they are written there, as in en-es"


def _rows_divide(stage: str, usual_length: int) -> CelRule:
    """Where neither the manifest nor a model from scratch tells the length of a row, the pretrained model does."""
    batch, context = f"self.{stage}.batch", "self.model.scratch.contextLength"
    return CelRule(
        rule=(
            f"!has(self.{stage}) || (!has({batch}.sequenceLength) && !has(self.model.scratch)) || "
            f"{batch}.globalTokens % ((has({batch}.sequenceLength) ? {batch}.sequenceLength : "
            f"{context} < {usual_length} ? {context} : {usual_length}) * "
            "self.parallelism.nodes * self.parallelism.processesPerNode * "
            f"(type({batch}.microBatch) == int ? int({batch}.microBatch) : 1)) == 0"
        ),
        message=(
            f"{stage}.batch.globalTokens must be a multiple of sequenceLength x nodes x processesPerNode x microBatch"
        ),
        field_path=f".{stage}.batch.globalTokens",
    )


def _fits_scratch_model(stage: str) -> CelRule:
    length = f"self.{stage}.batch.sequenceLength"
    return CelRule(
        rule=(
            f"!has(self.model.scratch) || !has(self.{stage}) || !has({length}) || "
            f"{length} <= self.model.scratch.contextLength"
        ),
        message=f"{stage}.batch.sequenceLength must not exceed model.scratch.contextLength",
        field_path=f".{stage}.batch.sequenceLength",
    )


_ADAPTERS = [name for name, method in METHODS.items() if method.adapter]


def _parent_in(job: str) -> str:
    """CEL: `lineage.parent`, or an empty text."""
    return f"(has({job}.lineage) && has({job}.lineage.parent) ? {job}.lineage.parent : '')"


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
        CelRule(
            rule=(
                "!(has(self.pretrain) || has(self.fuse) || has(self.adapt) || has(self.align)) || "
                "self.data.sources.exists(s, s.role == 'Train')"
            ),
            message="at least one source must have role Train, for this job trains a model",
            field_path=".data.sources",
        ),
        _names_source("pretrain", "objectives"),
        _names_source("evaluate", "tasks"),
        CelRule(
            rule="!has(self.adapt) || self.data.sources.exists(s, s.name == self.adapt.task.source)",
            message="adapt.task.source must be one of data.sources",
            field_path=".adapt.task.source",
        ),
        each(
            ".pretrain.objectives",
            f"!has(x.directions) || x.directions.all(d, {_direction_in_source('x', 'd')})",
            f"each of pretrain.objectives.directions {_DIRECTION_MESSAGE}",
            unless="!has(self.pretrain)",
            field=".directions",
        ),
        CelRule(
            rule=(
                "!has(self.adapt) || !has(self.adapt.task.direction) || "
                f"{_direction_in_source('self.adapt.task', 'self.adapt.task.direction')}"
            ),
            message=f"adapt.task.direction {_DIRECTION_MESSAGE}",
            field_path=".adapt.task.direction",
        ),
        each(
            ".evaluate.tasks",
            f"!has(x.direction) || {_direction_in_source('x', 'x.direction')}",
            f"each of evaluate.tasks.direction {_DIRECTION_MESSAGE}",
            unless="!has(self.evaluate)",
            field=".direction",
        ),
        each(
            ".pretrain.objectives",
            "x.type != 'CausalLM' || self.data.sources.all(s, s.name != x.source || "
            "(has(x.language) ? x.language in s.languages : s.languages.size() == 1))",
            "a CausalLM objective on a Parallel source needs a language, and it must be one of the source's, "
            "as it is written there",
            unless="!has(self.pretrain)",
            field=".language",
        ),
        each(
            ".adapt.lora.targets",
            f"x in {[*LINEAR_LAYERS, ALL_LINEAR]}",
            f"a model from scratch has no other LoRA targets than {', '.join(LINEAR_LAYERS)} and {ALL_LINEAR}",
            unless=f"!has(self.model.scratch) || !has(self.adapt) || !(self.adapt.method in {_ADAPTERS})",
        ),
        CelRule(
            rule="!has(self.model.scratch) || has(self.pretrain)",
            message="a model from scratch needs a pretrain block: without it only noise would be adapted",
            field_path=".model.scratch",
        ),
        _rows_divide("pretrain", Batch.usual_length),
        _rows_divide("adapt", AdaptBatch.usual_length),
        _fits_scratch_model("pretrain"),
        _fits_scratch_model("adapt"),
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
        CelRule(
            rule=f"{_parent_in('self')} == '' || !has(self.workspace) || !has(self.workspace.create)",
            message="a new claim holds nothing of lineage.parent: give workspace.claimName, the claim of the parent",
            field_path=".workspace.create",
        ),
        CelRule(
            rule=f"{_parent_in('self')} == {_parent_in('oldSelf')}",
            message="lineage.parent cannot change once the job exists: create a new job",
            field_path=".lineage",
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
    """The job it builds on, and why it exists."""

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this job in the order in which they run; prepare always runs."""
        return tuple(s for s in STAGES if s == "prepare" or getattr(self, s) is not None)


class FineTuneJob(ApiModel):
    """One fine-tuning pipeline."""

    cel_rules = (
        CelRule(
            rule=(
                "!has(self.spec.lineage) || !has(self.spec.lineage.parent) || "
                "self.spec.lineage.parent != self.metadata.name"
            ),
            message="a job cannot be its own parent: name another job, or remove lineage.parent",
            field_path=".spec.lineage.parent",
        ),
    )

    api_version: Literal["finetune-operator.io/v1alpha1"] = "finetune-operator.io/v1alpha1"
    kind: Literal["FineTuneJob"] = "FineTuneJob"
    metadata: ObjectMeta
    spec: FineTuneJobSpec
    status: FineTuneJobStatus | None = None

    @property
    def identity(self) -> str:
        """`namespace/name`, for messages."""
        return f"{self.metadata.namespace or 'default'}/{self.metadata.name}"

    @property
    def parent(self) -> str | None:
        """Name of the job whose stages it reuses."""
        return self.spec.lineage.parent if self.spec.lineage is not None else None

    @property
    def folder(self) -> str | None:
        """Where it writes within its workspace: `jobs/<name>` if it has a parent, whose files it leaves alone."""
        return f"{VARIANTS_FOLDER}/{self.metadata.name}" if self.parent is not None else None
