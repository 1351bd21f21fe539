"""Gangs of the fake recipe: their plans, what they are told to do, and what must not be in their output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finetune_api.plan import Plan, PlanJob
from training.conftest import GangRun

SPEC = {
    "model": {"scratch": {"layers": 1, "hidden": 64, "heads": 2, "kvHeads": 1}},
    "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]},
    "pretrain": {
        "budget": {"tokens": 1024},
        "objectives": [{"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]}],
    },
    "checkpoint": {"everySteps": 4, "everySeconds": 864_000},
}


def make_plan(workspace: Path, **changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "job": PlanJob(name="tiny", namespace="default", uid="u1"),
        "stage": "pretrain",
        "workspace": str(workspace),
        "spec": SPEC,
        "nodes": 2,
        "fingerprint": "f" * 64,
    }
    return Plan.model_validate(fields | changes)


def fake(behaviours: dict[str, str]) -> dict[str, str]:
    return {"FAKE": json.dumps(behaviours)}


def assert_no_traceback(gang: GangRun) -> None:
    for pod in gang.pods:
        assert "Traceback" not in pod.output
        assert pod.stderr.read_text(encoding="utf-8") == ""
