"""Runs with a report, as a workspace keeps them, without training any."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from finetune_api.evaluate import Significance
from finetune_api.plan import ArtifactManifest
from finetune_api.report import EvaluationReport, ModelDescription, TaskReport
from finetune_api.stage_result import StageResult
from finetune_trainer.evaluation.scores import score_systems
from finetune_trainer.metrics import create_metric

BEGIN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def keep_report(
    workspace: Path,
    name: str,
    columns: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str] = ("chrF++", "BLEU"),
    cost: Mapping[str, tuple[float, float]] | None = None,
    parent: str | None = None,
    significance: Significance | None = None,
    task: str = "en-es",
    devices: int | None = 1,
) -> Path:
    """A report of one zero-shot test beside its TSV; returns the folder of the run.

    Args:
        workspace: of the run, or of its parent.
        name: of the job.
        columns: source, reference, hypothesis.
        metrics: of the test, the first leads.
        cost: tokens and seconds by stage, for which manifests are written; `pretrain` is the parent's if there is one.
        parent: by which the run is in jobs/.
        significance: as the manifest asks for it.
        task: name of the test.
        devices: of each stage; None as older versions left it.
    """
    folder = workspace if parent is None else workspace / "jobs" / name
    (folder / "reports").mkdir(parents=True, exist_ok=True)
    tsv = folder / "reports" / f"{task}.0shot.tsv"
    table = dict(columns) | {"baseline": [""] * len(columns["source"])}
    lines = ["\t".join(table), *("\t".join(row) for row in zip(*table.values(), strict=True))]
    tsv.write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")
    references = [(reference,) for reference in columns["reference"]]
    by_metric = {
        metric: create_metric(metric, "es").statistics(columns["hypothesis"], references) for metric in metrics
    }
    asked = significance or Significance()
    scores = score_systems(by_metric, None, {}, "es", asked)[0]
    lineage: dict[str, Any] = {"prepare": {"artifact": "data/1", "digest": "d", "inputs": {"ui.tsv": "ab" * 32}}}
    for stage, (tokens, seconds) in (cost or {}).items():
        own = parent is None or stage != "pretrain"
        made_by = name if own else parent
        artifact = f"models/{stage}" if folder == workspace or not own else f"jobs/{name}/models/{stage}"
        lineage[stage] = {"artifact": artifact, "digest": f"{made_by}-{stage}"} | (
            {} if own else {"reusedFrom": parent}
        )
        if own:
            _keep_manifest(workspace / artifact, stage, f"{made_by}-{stage}", (tokens, seconds, devices))
    report = EvaluationReport(
        job=name, created_at=BEGIN, verdict="", outcome="NotCompared", model=ModelDescription(name="adapted", path=""),
        tasks=[
            TaskReport(
                name=task, type="Translation", direction="en-es", shots=0, segments=len(columns["source"]),
                hypotheses=tsv.relative_to(workspace).as_posix(), scores=scores,
            )
        ],
        spec={"evaluate": {"significance": asked.to_json_object()}}, lineage=lineage,
    )  # fmt: skip
    (folder / "reports" / "report.json").write_text(json.dumps(report.to_json_object()), "utf-8")
    return folder


def _keep_manifest(folder: Path, stage: str, digest: str, cost: tuple[float, float, int | None]) -> None:
    tokens, seconds, devices = cost
    result = StageResult.from_json_object(
        {
            "stage": stage, "outcome": "Succeeded", "exitCode": 0, "summary": {"tokens": tokens},
            "startedAt": BEGIN, "completedAt": BEGIN + timedelta(seconds=seconds), "devices": devices,
        }
    )  # fmt: skip
    manifest = ArtifactManifest.from_json_object(
        {"stage": stage, "fingerprint": "f", "digest": digest, "createdAt": "", "result": result.to_json_object()}
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest.to_json_object()), "utf-8")
