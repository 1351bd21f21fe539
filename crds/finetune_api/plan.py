"""`plan.json`: all that a stage is given. The trainer reads nothing else but its workspace."""

from __future__ import annotations

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.job import FineTuneJobSpec
from finetune_api.objects import Object
from finetune_api.stages import Stage


class PlanJob(ApiModel):
    """Which job this is."""

    name: str
    namespace: str
    uid: str


class Plan(ApiModel):
    """One stage of one job.

    The plan of a stage does not change from attempt to attempt, except for what recovery asks for.
    """

    job: PlanJob
    stage: Stage
    attempt: int = Field(default=1, ge=1)
    """Gang number of this stage, from 1."""
    workspace: str
    """Folder that all stages share; mounted at the same path in all pods."""
    folder: str | None = None
    """Path within the workspace of the job's data/ models/ checkpoints/ reports/ logs/; None: the workspace itself."""
    spec: FineTuneJobSpec
    """The job's spec, defaults filled in."""
    nodes: int = Field(default=1, ge=1)
    """Pods of this stage's gang."""
    processes_per_node: int = Field(default=1, ge=1)
    """Ranks per pod."""
    inputs: dict[Stage, str] = Field(default_factory=dict)
    """Artifact path (within the workspace) of each finished earlier stage."""
    fingerprint: str
    """Digest of everything that determines this stage's result; a finished artifact with the same one is adopted."""
    later: dict[Stage, str] | None = None
    """prepare of a job with a parent: fingerprint of each later stage whose artifact the parent may have."""
    micro_batch_divisor: int = Field(default=1, ge=1)
    """Recovery from exit 78: divide the micro-batch by this."""
    micro_batch_limit: int | None = Field(default=None, ge=1)
    """Rows of one forward pass that fitted in an earlier attempt, after more had not."""
    skip_steps: int = Field(default=0, ge=0)
    """Recovery from exit 76: data steps to skip after the checkpoint."""

    @property
    def world_size(self) -> int:
        """Ranks of the gang."""
        return self.nodes * self.processes_per_node

    @property
    def parent(self) -> str | None:
        """Name of the job whose stages this one reuses."""
        return self.spec.lineage.parent if self.folder is not None and self.spec.lineage is not None else None

    def path(self, relative: str) -> str:
        """A path of the job's folder as one of its workspace."""
        return relative if self.folder is None else f"{self.folder}/{relative}"

    def is_own(self, artifact: str) -> bool:
        """Whether the job made an artifact of its workspace, or a job before it."""
        return self.folder is None or artifact.startswith(f"{self.folder}/")


class ArtifactManifest(ApiModel):
    """`manifest.json` in every artifact folder; written last, so its presence means that the artifact is whole."""

    stage: Stage
    fingerprint: str
    """Plan.fingerprint."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Digest by input: source files, earlier artifacts."""
    files: dict[str, str] = Field(default_factory=dict)
    """sha256 by file of this folder."""
    sizes: dict[str, int] = Field(default_factory=dict)
    """Bytes by file, for a quick check of large ones."""
    digest: str
    """sha256 over `files`."""
    created_at: str
    """RFC 3339."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the code that made it."""
    result: Object = Field(default_factory=dict)
    """The StageResult, so that a finished stage can be reported again."""
