"""What CEL cannot check: references, and what this version does not implement."""

from __future__ import annotations

from finetune_api.job import FineTuneJob
from finetune_api.problems import Problem
from finetune_api.support import unsupported

WAITING_REASONS = ("RuntimeNotFound",)
"""Problems that go away when somebody else creates an object."""


def find_problems(job: FineTuneJob, has_runtime: bool) -> list[Problem]:
    """Everything that keeps the job from starting, at once."""
    problems = [*unsupported(job.spec), *_workspace_problems(job)]
    if not has_runtime:
        reference = job.spec.runtime_ref
        problems.append(
            Problem(
                "spec.runtimeRef.name",
                f"{reference.kind} {reference.name} does not exist: create it, or name another one in a new job",
                "RuntimeNotFound",
            )
        )
    return problems


def _workspace_problems(job: FineTuneJob) -> list[Problem]:
    workspace = job.spec.workspace
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
