"""A small valid plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune_api.plan import Plan

SPEC: dict[str, Any] = {
    "model": {"scratch": {"layers": 1, "hidden": 64, "heads": 2, "kvHeads": 1}},
    "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]},
    "pretrain": {
        "budget": {"tokens": 1024},
        "objectives": [{"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]}],
    },
}


def make_plan(workspace: Path, **changes: Any) -> Plan:
    """A plan for pretrain on one rank; `changes` by JSON name."""
    fields: dict[str, Any] = {
        "job": {"name": "tiny", "namespace": "default", "uid": "u1"},
        "stage": "pretrain",
        "workspace": str(workspace),
        "spec": SPEC,
        "fingerprint": "f" * 64,
    }
    return Plan.model_validate(fields | changes)
