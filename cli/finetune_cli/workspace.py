"""The folder of a local run, and what is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_api.layout import VARIANTS_FOLDER
from finetune_api.objects import Object
from finetune_cli.refusal import refuse

if TYPE_CHECKING:
    from finetune_api.job import FineTuneJob

JOB_FILE = "job.json"
EVENTS_FILE = "events.jsonl"
RUNS = Path("runs")


def workspace_of(job: Object, option: Path | None) -> Path:
    """`--workspace`, else `spec.workspace.path`, else that of the parent's run, else `runs/<name>`."""
    if option is not None:
        return option.resolve()
    path = (job["spec"].get("workspace") or {}).get("path")
    if path:
        return Path(path).resolve()
    parent = _parent_of(job)
    if parent is None:
        return (RUNS / str(job["metadata"]["name"])).resolve()
    found = find_run(parent)
    if found is None:
        missing = f"spec.lineage.parent: no run of {parent} under {RUNS.resolve()}"
        refuse([f"{missing}. Run it first, or give the folder of its run with --workspace"])
    return root_of(found)


def folder_of(job: Object, workspace: Path) -> Path:
    """Where a job's own files are: the workspace, or `jobs/<name>` in it if the job has a parent."""
    return workspace if _parent_of(job) is None else workspace / VARIANTS_FOLDER / str(job["metadata"]["name"])


def root_of(folder: Path) -> Path:
    """The workspace that a run's own folder is in: where paths of artifacts begin."""
    return folder.parent.parent if folder.parent.name == VARIANTS_FOLDER else folder


def _parent_of(job: Object) -> str | None:
    parent: str | None = (job["spec"].get("lineage") or {}).get("parent")
    return parent


def folder_of_run(workspace: Path, name: str) -> Path | None:
    """The folder in which a workspace has a run of this name."""
    for folder in (workspace / VARIANTS_FOLDER / name, workspace):
        if name_of_run(folder) == name:
            return folder
    return None


def name_of_run(folder: Path) -> str | None:
    """Name of the job in a folder; None if there is none that can be read."""
    try:
        return str(json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))["metadata"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_run(name: str) -> Path | None:
    """The newest folder under runs/ with a run of this name."""
    folders = [RUNS / name, *RUNS.glob(f"*/{VARIANTS_FOLDER}/{name}")]
    found = [folder for folder in folders if (folder / JOB_FILE).is_file()]
    return max(found, key=lambda folder: (folder / JOB_FILE).stat().st_mtime).resolve() if found else None


def make_workspace(workspace: Path) -> None:
    """Create the folder, or refuse plainly if it cannot be written."""
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        probe = workspace / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        refuse([f"workspace {workspace} cannot be written: {error.strerror}. Choose another with --workspace DIR."])


def find_workspace(name: str | None, option: Path | None) -> Path:
    """The workspace that `status`, `logs` and `report` are about: named, given, or the newest under runs/."""
    if option is not None:
        return option.resolve()
    if name is not None:
        return find_run(name) or (RUNS / name).resolve()
    paths = [*RUNS.glob(f"*/{JOB_FILE}"), *RUNS.glob(f"*/{VARIANTS_FOLDER}/*/{JOB_FILE}")]
    jobs = sorted(paths, key=lambda path: path.stat().st_mtime)
    if not jobs:
        refuse([f"no run under {RUNS.resolve()}. Name a job, or give its folder with --workspace DIR."])
    return jobs[-1].parent.resolve()


def read_job(workspace: Path) -> FineTuneJob:
    """The job of a workspace, or a plain refusal."""
    # Of the commands that only look for a workspace, most need no models.
    from pydantic import ValidationError

    from finetune_api.job import FineTuneJob

    path = workspace / JOB_FILE
    try:
        return FineTuneJob.from_json_object(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        refuse([f"no run in {workspace}: {path} does not exist. Start one with: finetune run job.yaml"])
    except (OSError, ValueError, ValidationError) as error:
        refuse([f"{path} cannot be read: {str(error).splitlines()[0]}"])


def newest_checkpoint_step(workspace: Path, stage: str) -> int | None:
    """Step of the newest whole checkpoint of a stage."""
    whole = (workspace / "checkpoints" / stage).glob("step-*/checkpoint.json")
    return max((int(path.parent.name.removeprefix("step-")) for path in whole), default=None)


def write_json_atomically(path: Path, value: Any) -> None:
    """Replace `path` as a whole; a reader never sees a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
