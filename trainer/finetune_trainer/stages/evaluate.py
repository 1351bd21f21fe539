"""The evaluate stage: decode every task with the model and with its baseline, score, compare, report."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from finetune_api import labels
from finetune_api.adapt import Retrieval
from finetune_api.evaluate import Evaluate
from finetune_api.plan import Plan
from finetune_api.report import (
    BaselineDescription,
    EvaluationReport,
    ModelDescription,
    TaskReport,
    summarise,
)
from finetune_trainer.artifacts import stage_digests, write_artifact
from finetune_trainer.context import StageContext
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration, Preempted
from finetune_trainer.evaluation.assess import assess, task_statistics
from finetune_trainer.evaluation.examples import Segments
from finetune_trainer.evaluation.gate import check_gate, refuse_empty_requirements
from finetune_trainer.evaluation.metrics import Statistics
from finetune_trainer.evaluation.provenance import lineage, read_manifests, stage_costs, versions
from finetune_trainer.evaluation.systems import SystemChoice, choose_systems, load_system
from finetune_trainer.evaluation.testset import TestSet, load_test_sets
from finetune_trainer.evaluation.translate import Translations, translate
from finetune_trainer.evaluation.verdict import verdict_sentence
from finetune_trainer.reporting.artifact import tsv_name, write_report
from finetune_trainer.reporting.figures import NO_BASELINE
from finetune_trainer.run.history import read_history
from finetune_trainer.stages import StageOutcome

PUBLISH_SECONDS = 120.0
"""An operator that is away for longer finds the report in the workspace only."""
_log = logging.getLogger(__name__)
ARTIFACT = "reports"
"""Shared with other files of the job; the manifest lists those of the report."""

TaskKey = tuple[str, int]
"""Task name and shots."""


@dataclass(slots=True)
class SystemOutput:
    """What one model did."""

    description: ModelDescription
    translations: dict[TaskKey, Translations] = field(default_factory=dict)
    statistics: dict[TaskKey, dict[str, Statistics]] = field(default_factory=dict)
    seconds: float = 0.0
    """Decoding, without loading."""


def run(context: StageContext) -> StageOutcome:
    """Evaluate; every rank decodes its share, rank 0 scores and writes."""
    plan, started = context.plan, time.monotonic()
    settings = plan.spec.evaluate
    if settings is None:
        raise BadConfiguration("NoEvaluateBlock", "the spec has no evaluate block", "add spec.evaluate")
    refuse_empty_requirements(settings.gate)
    systems = choose_systems(plan, context.workspace)
    context.progress.update(phase="Reading")
    data = PreparedData.open(context.workspace, plan.inputs["prepare"])
    test_sets = load_test_sets(plan.spec, data)

    count = sum(len(t.sources) * len(t.task.shots) for t in test_sets) * (1 if systems.baseline is None else 2)
    on_batch = _decoding_progress(context, count)
    baseline = None if systems.baseline is None else _run_system(context, systems.baseline, test_sets, on_batch)
    model = _run_system(context, systems.model, test_sets, on_batch)

    seconds = time.monotonic() - started
    segments = sum(len(test_set.sources) for test_set in test_sets)
    outcome = StageOutcome(
        artifact=ARTIFACT,
        summary={"segments": float(segments), "seconds": seconds},
        message="",
        evaluation=None,
        productive_seconds=seconds,
    )
    if not context.is_main:
        return outcome
    context.progress.update(phase="Scoring")
    tasks = [
        _task_report(settings, test_set, shots, model, baseline)
        for test_set in test_sets
        for shots in dict.fromkeys(test_set.task.shots)
    ]
    gate = None if settings.gate is None else check_gate(settings.gate, tasks)
    manifests = read_manifests(plan, context.workspace)
    seconds = time.monotonic() - started
    report = EvaluationReport(
        job=plan.job.name,
        created_at=datetime.now(UTC),
        verdict=verdict_sentence(
            systems.model.name, tasks, gate, settings.significance.level, systems.baseline is not None
        ),
        notes=_notes(plan, systems.note, test_sets, model, baseline),
        model=model.description,
        baseline=(
            NO_BASELINE
            if baseline is None
            else BaselineDescription(name=baseline.description.name, model=baseline.description)
        ),
        tasks=tasks,
        gate=gate,
        cost={**stage_costs(manifests), **_decoding_cost(seconds, count, model, baseline)},
        data=data.report(),
        spec=plan.spec.to_json_object(),
        versions=versions(),
        lineage=lineage(plan, manifests),
    )
    context.progress.update(phase="Writing")
    _write(context, report, test_sets, model, baseline)
    if settings.publish == "ConfigMap":
        _publish(context)
    evaluation = summarise(report, f"{ARTIFACT}/report.json")
    return StageOutcome(
        artifact=ARTIFACT,
        summary={"segments": float(segments), "seconds": seconds},
        message=report.verdict,
        evaluation=evaluation,
        productive_seconds=seconds,
    )


def _run_system(
    context: StageContext, choice: SystemChoice, test_sets: list[TestSet], on_batch: Callable[[int], None]
) -> SystemOutput:
    """Load, translate all tasks, add up statistics, and free the model again."""
    context.progress.update(phase="Loading", message=choice.name)
    model, tokenizer = load_system(choice, context.device, _precision(context))
    parameters = sum(p.numel() for p in model.parameters())
    output = SystemOutput(ModelDescription(name=choice.name, path=choice.path, parameters=parameters))
    batch_size = context.plan.spec.evaluate.batch_size if context.plan.spec.evaluate else 1
    for test_set in test_sets:
        for shots in dict.fromkeys(test_set.task.shots):
            key = (test_set.task.name, shots)
            started = time.monotonic()
            output.translations[key] = translate(
                model, tokenizer, test_set, shots, batch_size, context.rank, context.world_size, on_batch
            )
            output.seconds += time.monotonic() - started
            output.statistics[key] = task_statistics(
                test_set, output.translations[key].texts, context.rank, context.world_size
            )
    del model
    gc.collect()
    if context.device.type == "cuda":
        torch.cuda.empty_cache()
    return output


def _precision(context: StageContext) -> torch.dtype:
    """Weights while decoding: as the spec says, by default bfloat16 on accelerators that have it."""
    asked = context.plan.spec.parallelism.precision
    if asked == "Auto":
        capable = context.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if capable else torch.float32
    return torch.bfloat16 if asked == "BF16" else torch.float32


def _decoding_progress(context: StageContext, count: int) -> Callable[[int], None]:
    """Reports progress after each batch, as if all ranks were equally fast; stops where a stop was asked for."""
    done = 0

    def on_batch(size: int) -> None:
        nonlocal done
        if context.stop.requested:
            raise Preempted(None, "the evaluation was stopped: it starts anew next time")
        done += size
        context.progress.update(phase="Decoding", step=min(count, done * context.world_size), total_steps=count)

    return on_batch


def _task_report(
    settings: Evaluate, test_set: TestSet, shots: int, model: SystemOutput, baseline: SystemOutput | None
) -> TaskReport:
    key = (test_set.task.name, shots)
    return assess(
        test_set,
        shots,
        Segments(
            test_set.sources,
            test_set.references,
            model.translations[key].texts,
            None if baseline is None else baseline.translations[key].texts,
        ),
        model.statistics[key],
        None if baseline is None else baseline.statistics[key],
        settings.significance,
        f"{ARTIFACT}/{tsv_name(*key)}",
    )


def _notes(
    plan: Plan, no_baseline: str, test_sets: list[TestSet], model: SystemOutput, baseline: SystemOutput | None
) -> list[str]:
    """What the figures do not say."""
    notes = [no_baseline] if no_baseline else []
    for test_set in test_sets:
        looks_foreign = sum(map(test_set.profile.looks_like_source, test_set.references)) / len(test_set.references)
        if looks_foreign >= 0.05:
            notes.append(
                f"{test_set.task.name}: {looks_foreign:.0%} of the references themselves look like "
                f"{test_set.source_language}, so the off-target rate is rough."
            )
    for system in (model, baseline):
        for (name, shots), made in system.translations.items() if system is not None else ():
            who = f"{name} ({shots}-shot), {system.description.name if system else ''} model"
            if made.without_example:
                notes.append(f"{who}: {made.without_example} prompts were too long for an example and had none.")
            if made.without_room:
                notes.append(f"{who}: {made.without_room} prompts filled the context; their output is empty.")
    retrieval = plan.spec.adapt.prompts.retrieval if plan.spec.adapt else Retrieval()
    if retrieval.side == "Target" and any(test_set.examples is not None for test_set in test_sets):
        notes.append("Examples were found by their source side: the target side of a test segment is its reference.")
    return notes


def _decoding_cost(seconds: float, count: int, model: SystemOutput, baseline: SystemOutput | None) -> dict[str, float]:
    decoding = model.seconds + (baseline.seconds if baseline is not None else 0.0)
    cost = {"evaluate.seconds": seconds, "evaluate.translations": float(count), "evaluate.decodingSeconds": decoding}
    if decoding > 0:
        cost["evaluate.translationsPerSecond"] = count / decoding
    return cost


def _publish(context: StageContext) -> None:
    """Offer the report to the operator; the workspace keeps it in any case."""
    report = (context.workspace / ARTIFACT / "report.json").read_bytes()
    if len(report) > labels.REPORT_MAX_BYTES:
        _log.warning("The report has %d KiB, too much for a ConfigMap: it stays in the workspace.", len(report) // 1024)
    elif not context.progress.publish(report, lambda: context.stop.requested, PUBLISH_SECONDS):
        _log.warning("Nobody fetched the report to publish it: it stays in the workspace.")


def _write(
    context: StageContext,
    report: EvaluationReport,
    test_sets: list[TestSet],
    model: SystemOutput,
    baseline: SystemOutput | None,
) -> None:
    """Write the report's files where people look for them; the manifest comes last."""
    workspace: Path = context.workspace
    histories = {
        str(stage): read_history(path)
        for stage, artifact in context.plan.inputs.items()
        if (path := workspace / artifact / "history.jsonl").is_file()
    }
    columns = {}
    for test_set in test_sets:
        for shots in dict.fromkeys(test_set.task.shots):
            key = (test_set.task.name, shots)
            texts = model.translations[key].texts
            before = [""] * len(texts) if baseline is None else baseline.translations[key].texts
            columns[tsv_name(*key)] = (test_set.sources, test_set.references, texts, before)
    digests = stage_digests(context.plan, workspace)
    with write_artifact(context, ARTIFACT, context.plan, digests, merge=True) as folder:
        write_report(folder, report, histories, columns)
