"""The parent of a local run: where it is, whether its stages can be reused, and what of them cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from finetune_api.job import FineTuneJob, Workspace
from finetune_api.objects import Object
from finetune_cli.refusal import refuse
from finetune_cli.workspace import folder_of_run, read_job
from finetune_operator.cluster.interface import ClusterError
from finetune_operator.cluster.workspace_lock import WorkspaceLock
from finetune_operator.reconcile.lineage import MOST_ANCESTORS, compare, parent_problems


def check_parent(job: Object, workspace: Path) -> list[Path]:
    """Folders of the job's ancestors, none for a job without a parent; says what is reused and what runs anew.

    Refuses a parent that is not there, has not made what is to be reused, or is an ancestor of itself.
    """
    child = _in(workspace, FineTuneJob.from_json_object(job))
    if child.parent is None:
        return []
    found = _ancestors(child, workspace)
    if not found:
        missing = f"spec.lineage.parent: {workspace} holds no run of {child.parent}"
        refuse([f"{missing}. Run it there first, or give the folder of its run with --workspace"])
    ancestors = [ancestor for _, ancestor in found]
    problems = parent_problems(child, ancestors)
    if problems:
        refuse(problems)
    print(_announcement(child, ancestors[0]), file=sys.stderr)
    return [folder for folder, _ in found]


def _ancestors(child: FineTuneJob, workspace: Path) -> list[tuple[Path, FineTuneJob]]:
    found: list[tuple[Path, FineTuneJob]] = []
    seen, name = {child.metadata.name}, child.parent
    while name is not None and len(found) < MOST_ANCESTORS:
        folder = folder_of_run(workspace, name)
        if folder is None:
            break
        ancestor = _in(workspace, read_job(folder))
        found.append((folder, ancestor))
        if name in seen:
            break
        seen.add(name)
        name = ancestor.parent
    return found


def _in(workspace: Path, job: FineTuneJob) -> FineTuneJob:
    """The job with the workspace's path of today: a folder may have been moved."""
    spec = job.spec.model_copy(update={"workspace": Workspace(path=str(workspace))})
    return job.model_copy(update={"spec": spec})


def _announcement(child: FineTuneJob, parent: FineTuneJob) -> str:
    """`parent base: prepare, pretrain reused if unchanged; adapt runs anew: spec.adapt.lora.rank differs …`."""
    comparison = compare(child, parent)
    reused = f"{', '.join(comparison.shared)} reused if unchanged" if comparison.shared else "nothing is reused"
    anew = f"; {comparison.anew} runs anew: {comparison.reason}" if comparison.anew is not None else ""
    return f"parent {parent.metadata.name}: {reused}{anew}"


@contextmanager
def reading(folders: list[Path]) -> Iterator[None]:
    """Keep other processes from running in the ancestors' folders, but not from reading them as well.

    Refuses to go on where one runs now.
    """
    with ExitStack() as held:
        for folder in folders:
            try:
                held.callback(WorkspaceLock(folder, shared=True).release)
            except ClusterError as error:
                refuse([error])
        yield
