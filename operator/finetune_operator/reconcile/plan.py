"""The plan of one attempt of a stage, and the fingerprint of what determines the stage's result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from finetune_api import labels
from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.plan import Plan, PlanJob
from finetune_api.stages import PIPELINE, STAGES, Stage, reusable_stages
from finetune_api.status import StageStatus
from finetune_operator.reconcile.settings import Settings

_OF_PARALLELISM = frozenset({"compile", "fusedKernels"})
_OF_BATCH = frozenset({"activationCheckpointing"})
"""Settings that change memory and time alone."""


def fingerprint(spec: FineTuneJobSpec, stage: Stage) -> str:
    """sha256 of the canonical JSON of the parts of the spec that determine the stage, and of all stages before it.

    Independent of name, attempt, deadlines, failure policy and checkpoint policy, so that the artifact of a
    finished stage is adopted by any job that would make the same one.
    """
    value = spec.to_json_object()
    digest = ""
    for name in spec.stages():
        parts = {path.rpartition(".")[2]: _what_counts(part(value, path)) for path in PIPELINE[name].parts}
        document = {"stage": name, "after": digest, "parts": parts}
        digest = hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        if name == stage:
            break
    return digest


def _what_counts(value: Any) -> Any:
    """Without what changes memory and time alone, so that a run that did not fit goes on from its checkpoint."""
    if not isinstance(value, dict):
        return value
    counting = {key: part for key, part in value.items() if key not in _OF_PARALLELISM}
    if isinstance(value.get("batch"), dict):
        counting["batch"] = {key: part for key, part in value["batch"].items() if key not in _OF_BATCH}
    return counting


def part(value: Any, path: str) -> Any:
    """What stands at `model.tokenizer`; None if nothing does."""
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def gang_size(spec: FineTuneJobSpec, stage: Stage) -> tuple[int, int]:
    """(pods, processes per pod) of a stage."""
    if not PIPELINE[stage].distributed:
        return 1, 1
    return spec.parallelism.nodes, spec.parallelism.processes_per_node


def layout(spec: FineTuneJobSpec, stage: Stage) -> str:
    """Layout of a stage's gang in words; a running gang with another one is replaced."""
    if not PIPELINE[stage].distributed:
        return "1x1"
    p = spec.parallelism
    return f"{p.nodes}x{p.processes_per_node} {p.engine} zero{p.zero.stage} offload-{p.zero.offload} {p.precision}"


def workspace_path(spec: FineTuneJobSpec) -> str:
    """Folder of the workspace as the pods see it: the mount, or in local mode the folder itself."""
    if spec.workspace is not None and spec.workspace.path is not None:
        return spec.workspace.path
    return labels.WORKSPACE_MOUNT


def make_plan(job: FineTuneJob, stage: StageStatus, artifacts: dict[Stage, str], settings: Settings) -> Plan:
    """The plan of `stage.attempt`, with what recovery from earlier attempts needs."""
    nodes, processes = gang_size(job.spec, stage.name)
    after = [s for s in job.spec.stages() if s in reusable_stages() and STAGES.index(s) > STAGES.index(stage.name)]
    looks_ahead = job.parent is not None and PIPELINE[stage.name].produces == "data"
    return Plan(
        job=PlanJob(name=job.metadata.name, namespace=job.metadata.namespace or "default", uid=job.metadata.uid or ""),
        stage=stage.name,
        attempt=stage.attempt,
        workspace=workspace_path(job.spec),
        folder=job.folder,
        spec=job.spec,
        nodes=nodes,
        processes_per_node=processes,
        inputs={s: artifacts[s] for s in STAGES if s in artifacts},
        fingerprint=fingerprint(job.spec, stage.name),
        later={s: fingerprint(job.spec, s) for s in after} if looks_ahead else None,
        micro_batch_divisor=2 ** stage.restarts.get("OutOfMemory", 0),
        micro_batch_limit=stage.micro_batch,
        skip_steps=settings.skip_steps * stage.restarts.get("NonFiniteLoss", 0),
    )
