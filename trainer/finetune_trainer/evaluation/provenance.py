"""Where a score comes from and what it cost: read from the manifests of the artifacts before it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api.plan import ArtifactManifest, Plan
from finetune_api.stage_result import StageResult
from finetune_trainer.workspace.artifacts import read_manifest

_COST_FIGURES = ("tokens", "targetTokens", "steps", "rowsKept")


def read_manifests(plan: Plan, workspace: Path) -> dict[str, ArtifactManifest]:
    """Manifest by stage; an artifact without a readable one is left out."""
    found = {str(stage): read_manifest(workspace / artifact) for stage, artifact in plan.inputs.items()}
    return {stage: manifest for stage, manifest in found.items() if manifest is not None}


def lineage(plan: Plan, manifests: Mapping[str, ArtifactManifest]) -> dict[str, Any]:
    """Digest and inputs by stage: follow the inputs down to the source files."""
    return {
        stage: {
            "artifact": plan.inputs[manifest.stage],
            "digest": manifest.digest,
            "createdAt": manifest.created_at,
            "inputs": manifest.inputs,
        }
        | ({} if plan.is_own(plan.inputs[manifest.stage]) else {"reusedFrom": plan.parent})
        for stage, manifest in manifests.items()
    }


def stage_costs(plan: Plan, manifests: Mapping[str, ArtifactManifest]) -> dict[str, float]:
    """`pretrain.seconds` and the like, from the results in the manifests; what the parent made cost nothing."""
    return {
        f"{stage}.{name}": value
        for stage, manifest in manifests.items()
        if plan.is_own(plan.inputs[manifest.stage])
        for name, value in stage_cost(manifest).items()
    }


def stage_cost(manifest: ArtifactManifest) -> dict[str, float]:
    """`seconds`, `tokens` and the like of the stage that made an artifact; empty if its result was not recorded."""
    try:
        result = StageResult.model_validate(manifest.result)
    except ValidationError:
        return {}
    seconds = (result.completed_at - result.started_at).total_seconds()
    cost = {"seconds": seconds}
    if result.devices is not None:
        cost["deviceSeconds"] = seconds * result.devices
    if result.productive_seconds:
        cost["productiveSeconds"] = result.productive_seconds
    cost |= {name: result.summary[name] for name in _COST_FIGURES if name in result.summary}
    training_seconds = result.summary.get("seconds") or seconds
    if "tokens" in result.summary and training_seconds > 0:
        cost["tokensPerSecond"] = result.summary["tokens"] / training_seconds
    return cost
