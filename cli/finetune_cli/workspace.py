"""The folder of a local run, and what is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_api.objects import Object
from finetune_cli.refusal import refuse

if TYPE_CHECKING:
    from finetune_api.job import FineTuneJob

JOB_FILE = "job.json"
EVENTS_FILE = "events.jsonl"
RUNS = Path("runs")


def workspace_of(job: Object, option: Path | None) -> Path:
    """`--workspace`, else `spec.workspace.path`, else `runs/<name>`."""
    if option is not None:
        return option.resolve()
    path = (job["spec"].get("workspace") or {}).get("path")
    return Path(path).resolve() if path else (RUNS / job["metadata"]["name"]).resolve()


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
        return (RUNS / name).resolve()
    jobs = sorted(RUNS.glob(f"*/{JOB_FILE}"), key=lambda path: path.stat().st_mtime)
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
