"""evaluate: answer every task with the model and with its baseline, score, compare, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import PurePosixPath

from finetune_api import labels
from finetune_api.evaluation_summary import summarise
from finetune_api.progress import read_history
from finetune_api.report import EvaluationReport
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.errors import BadConfiguration, Preempted
from finetune_trainer.evaluation.answers import (
    SystemAnswers,
    answer_all,
    answer_without_model,
    answering_progress,
    count_answers,
    task_keys,
)
from finetune_trainer.evaluation.draws import drawn_test_sets
from finetune_trainer.evaluation.gate import refuse_empty_requirements
from finetune_trainer.evaluation.memorisation import open_targets
from finetune_trainer.evaluation.neural import add_neural_scores, neural_programs
from finetune_trainer.evaluation.noises import noised_test_sets
from finetune_trainer.evaluation.probes import open_probes
from finetune_trainer.evaluation.questions import Question
from finetune_trainer.evaluation.report import Evaluated, evaluation_cost, make_report
from finetune_trainer.evaluation.rivals import open_rivals
from finetune_trainer.evaluation.systems import choose_systems
from finetune_trainer.metrics import joined
from finetune_trainer.models import ModelChoice
from finetune_trainer.reporting.artifact import REPORT_NAMES, tsv_name, write_report
from finetune_trainer.reporting.tsv import CONTEXT, TSV_COLUMNS, example_columns
from finetune_trainer.run.stage import HISTORY
from finetune_trainer.stages import artifact_path, input_digests, open_data
from finetune_trainer.tasks import TestSet, find_task
from finetune_trainer.workspace.artifacts import write_artifact

PUBLISH_SECONDS = 120.0
"""An operator that is away for longer finds the report in the workspace only."""
_log = logging.getLogger(__name__)


def run(context: StageContext) -> StageOutcome:
    """Evaluate; every rank answers its share, rank 0 scores and writes."""
    plan, started = context.plan, time.monotonic()
    settings = plan.spec.evaluate
    if settings is None:
        raise BadConfiguration("NoEvaluateBlock", "the spec has no evaluate block", "Add spec.evaluate.")
    refuse_empty_requirements(settings.gate)
    programs = neural_programs(settings)
    systems = choose_systems(plan, context.workspace)
    context.progress.update(phase="Reading")
    data = open_data(plan, context.workspace)
    test_sets = [find_task(task.type).test_set(plan.spec, data, i) for i, task in enumerate(settings.tasks)]

    rivals = open_rivals(context, settings.rivals or (), test_sets)
    noised = noised_test_sets(test_sets, settings.significance.seed)
    drawn = drawn_test_sets(test_sets)
    answered = [*test_sets, *(v.test_set for v in noised), *(v.test_set for v in drawn)]

    probes = open_probes(settings.bias, test_sets)

    targets = open_targets(settings.memorisation, plan.spec, data)
    questions: list[Question] = [*probes, *([] if targets is None else [targets])]

    own = count_answers(answered) + sum(question.size for question in questions)
    decoded = own * (1 if systems.baseline is None else 2) + sum(r.decoded for r in rivals)
    on_batch = answering_progress(context, decoded)

    def answer(choice: ModelChoice) -> SystemAnswers:
        return answer_all(context, choice, answered, on_batch, questions=questions)

    baseline = None if systems.baseline is None else answer(systems.baseline)
    if systems.without_model:
        baseline = answer_without_model(context, answered)
    model = answer(systems.model)
    evaluated = Evaluated(
        test_sets,
        model,
        baseline,
        [systems.note] if systems.note else [],
        [rival.answer(on_batch) for rival in rivals],
        noised,
        drawn,
        probes,
        targets,
        decoded,
    )

    seconds = time.monotonic() - started
    segments = float(sum(len(test_set.sources) for test_set in test_sets))
    artifact = artifact_path(plan)
    outcome = StageOutcome(artifact, {"segments": segments, "seconds": seconds}, productive_seconds=seconds)
    if not context.ranks.is_main:
        return outcome
    context.progress.update(phase="Scoring")
    add_neural_scores(programs, answered, evaluated.systems, _heartbeat(context))
    report = make_report(context, settings, evaluated, data.report(), lambda *key: f"{artifact}/{tsv_name(*key)}")
    seconds = time.monotonic() - started
    report = report.model_copy(update={"cost": report.cost | evaluation_cost(evaluated, seconds, context.ranks.size)})
    context.progress.update(phase="Writing")
    _write(context, report, evaluated)
    if settings.publish == "ConfigMap":
        _publish(context)
    return replace(
        outcome,
        summary={"segments": segments, "seconds": seconds},
        message=report.verdict,
        evaluation=summarise(report, f"{artifact}/{REPORT_NAMES[0]}"),
        productive_seconds=seconds,
    )


def _heartbeat(context: StageContext) -> Callable[[], None]:
    def beat() -> None:
        if context.stop.requested:
            raise Preempted(None, "the evaluation was stopped: it starts anew next time")
        context.progress.update(phase="Scoring")

    return beat


def _write(context: StageContext, report: EvaluationReport, evaluated: Evaluated) -> None:
    """Write the report's files where people look for them; the manifest comes last."""
    plan, workspace = context.plan, context.workspace
    histories = {
        str(stage): read_history(path)
        for stage, artifact in plan.inputs.items()
        if (path := workspace / artifact / HISTORY).is_file()
    }
    columns: dict[str, dict[str, list[str]]] = {}
    for test_set in evaluated.all_test_sets:
        for key in task_keys(test_set):
            texts = evaluated.model.outputs[key].texts
            before = [""] * len(texts) if evaluated.baseline is None else evaluated.baseline.outputs[key].texts
            others = {r.description.name: r.outputs[key].texts for r in evaluated.rivals if key in r.outputs}
            given = (test_set.sources, list(map(joined, test_set.references)), texts, before)
            examples = example_columns(find_task(test_set.task.type).prompt_examples(test_set, key[1]))
            columns[tsv_name(*key)] = dict(zip(TSV_COLUMNS, given, strict=True)) | _beside(test_set) | others | examples
    for question in evaluated.questions:
        columns[tsv_name(question.name, 0)] = question.columns(
            evaluated.model.asked[question.name],
            None if evaluated.baseline is None else evaluated.baseline.asked.get(question.name),
        )
    candidates = {
        PurePosixPath(task.candidates).name: {
            system.description.name: [[asdict(one) for one in found] for found in system.outputs[key].candidates or ()]
            for system in evaluated.systems
            if (key := (task.name, task.shots)) in system.outputs and system.outputs[key].candidates
        }
        for task in report.tasks
        if task.candidates
    }
    # The folder is shared with other files of the job; the manifest lists those of the report.
    with write_artifact(workspace, artifact_path(plan), plan, input_digests(plan, workspace), merge=True) as folder:
        write_report(folder, report, histories, columns, candidates)


def _beside(test_set: TestSet) -> dict[str, list[str]]:
    return {CONTEXT: test_set.contexts} if test_set.contexts else {}


def _publish(context: StageContext) -> None:
    """Offer the report to the operator; the workspace keeps it in any case."""
    report = (context.workspace / artifact_path(context.plan) / REPORT_NAMES[0]).read_bytes()
    if len(report) > labels.REPORT_MAX_BYTES:
        _log.warning("The report has %d KiB, too much for a ConfigMap: it stays in the workspace.", len(report) // 1024)
    elif not context.progress.publish(report, lambda: context.stop.requested, PUBLISH_SECONDS):
        _log.warning("Nobody fetched the report to publish it: it stays in the workspace.")
