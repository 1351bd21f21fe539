"""What CEL cannot check: references, and what this version does not implement."""

from __future__ import annotations

from finetune_api.job import FineTuneJob
from finetune_api.problems import Problem
from finetune_api.refusals import refusals
from finetune_api.runtime import RuntimeSpec
from finetune_api.runtime_capacity import lacking_accelerators, lacking_host_memory
from finetune_operator.reconcile.settings import Settings

WAITING_REASONS = (
    "RuntimeNotFound",
    "RuntimeNotReadable",
    "RuntimeTooSmall",
    "ParentNotFound",
    "ParentNotFinished",
)
"""Problems that go away when somebody else creates, mends or finishes an object."""


def find_problems(
    job: FineTuneJob, runtime: RuntimeSpec | None, settings: Settings, runtime_error: str = ""
) -> list[Problem]:
    """Everything that keeps the job from starting, at once."""
    problems = [*refusals(job.spec), *_workspace_problems(job, settings)]
    if runtime is None:
        return [*problems, _no_runtime(job, settings, runtime_error)]
    name = job.spec.runtime_ref.name
    return [
        *problems,
        *lacking_accelerators(job.spec.parallelism, runtime, name),
        *lacking_host_memory(job.spec, runtime, name),
    ]


def _no_runtime(job: FineTuneJob, settings: Settings, runtime_error: str) -> Problem:
    reference = job.spec.runtime_ref
    if runtime_error:
        return Problem(
            "spec.runtimeRef.name",
            f"{reference.kind} {reference.name} cannot be used: {runtime_error} of it is not what its schema says. "
            f"Mend it (kubectl explain {reference.kind.lower()})",
            "RuntimeNotReadable",
        )
    if reference.kind == "ClusterFineTuneRuntime" and not settings.serves_cluster_runtimes:
        return Problem(
            "spec.runtimeRef.kind",
            f"{reference.kind} {reference.name} is out of reach: this operator serves single namespaces. "
            "Create a FineTuneRuntime in this namespace, and name it in a new job",
            "RuntimeNotFound",
        )
    return Problem(
        "spec.runtimeRef.name",
        f"{reference.kind} {reference.name} does not exist: create it, or name another one in a new job",
        "RuntimeNotFound",
    )


def _workspace_problems(job: FineTuneJob, settings: Settings) -> list[Problem]:
    workspace = job.spec.workspace
    if workspace is not None and workspace.path is not None and not settings.allows_workspace_path:
        return [
            Problem(
                "spec.workspace.path",
                "a path of a node is for local runs only: give workspace.claimName or workspace.create in a new job",
                "ClaimNotFound",
            )
        ]
    if workspace is None:
        return [
            Problem(
                "spec.workspace",
                "the stages need a volume: give workspace.claimName or workspace.create",
                "ClaimNotFound",
            )
        ]
    modes = workspace.create.access_modes if workspace.create is not None else []
    nodes = job.spec.parallelism.nodes
    if nodes > 1 and modes == ["ReadWriteOncePod"]:
        return [
            Problem(
                "spec.workspace.create.accessModes",
                f"{nodes} pods share the workspace: use ReadWriteMany",
                "ClaimNotFound",
            )
        ]
    return []
