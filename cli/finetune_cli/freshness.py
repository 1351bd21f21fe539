"""What changed since the last run of a workspace: the job then begins anew, and its pods keep what still fits.

Pods compare digests, so a wrong guess here costs their start and no result.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from finetune_api.objects import Object
from finetune_api.stages import PIPELINE
from finetune_cli.local_manifest import local_files

BLOCKS = {part.partition(".")[0] for stage in PIPELINE.values() for part in stage.parts}
"""Of the spec: those that decide what a stage makes."""


def what_changed(stored: Object, submitted: Object) -> str | None:
    """Why the stored job cannot stand for the submitted one any more; None if it can."""
    if (stored.get("status") or {}).get("state") == "Failed":
        return "the last run failed"
    if _parent(stored) != _parent(submitted):
        return "changed since the last run: spec.lineage.parent"
    blocks = [name for name in sorted(BLOCKS) if stored["spec"].get(name) != submitted["spec"].get(name)]
    if blocks:
        return f"changed since the last run: {', '.join(f'spec.{name}' for name in blocks)}"
    began = _began(stored, "prepare")
    edited = None if began is None else next(_edited_since(began, submitted), None)
    return f"changed since the last run: {edited}" if edited else None


def _parent(job: Object) -> Any:
    return (job["spec"].get("lineage") or {}).get("parent")


def _began(job: Object, stage: str) -> datetime | None:
    stages = (job.get("status") or {}).get("stages", ())
    start: Any = next((s.get("startTime") for s in stages if s["name"] == stage), None)
    return datetime.fromisoformat(start) if start else None


def _edited_since(time: datetime, job: Object) -> Iterator[Path]:
    """Files that the job reads and that changed after `time`; the inode's time tells of copies with old dates, too."""
    for path in local_files(job):
        below = path.rglob("*") if path.is_dir() else ()
        for file in (path, *below):
            if file.exists() and file.stat().st_ctime >= time.timestamp():
                yield file
