"""From the answers of all systems to the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from finetune_api.evaluate import Evaluate, Significance
from finetune_api.plan import Plan
from finetune_api.registries import METRICS, TASKS
from finetune_api.report import (
    BiasReport,
    EvaluationReport,
    MemorisationReport,
    NoisedScore,
    Score,
    TaskReport,
)
from finetune_trainer.context import StageContext
from finetune_trainer.evaluation.answers import SystemAnswers, task_keys
from finetune_trainer.evaluation.assess import assess
from finetune_trainer.evaluation.comparisons import note_too_few_resamples
from finetune_trainer.evaluation.draws import DrawnTestSet, spread_over_draws
from finetune_trainer.evaluation.gate import check_gate
from finetune_trainer.evaluation.memorisation import Targets
from finetune_trainer.evaluation.noises import NoisedTestSet
from finetune_trainer.evaluation.outcome import conclude
from finetune_trainer.evaluation.probes import ProbeQuestion, with_gaps
from finetune_trainer.evaluation.provenance import lineage, read_manifests, stage_costs
from finetune_trainer.evaluation.questions import Question
from finetune_trainer.evaluation.scores import score_systems
from finetune_trainer.evaluation.sentence import verdict_sentence
from finetune_trainer.metrics import create_metric
from finetune_trainer.tasks import TestSet, find_task
from finetune_trainer.workspace.versions import versions

TsvPath = Callable[[str, int], str]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """All that was answered."""

    test_sets: Sequence[TestSet]
    model: SystemAnswers
    baseline: SystemAnswers | None
    notes: list[str]
    """Known before anything was answered."""
    rivals: list[SystemAnswers] = field(default_factory=list)
    """Other systems."""
    noised: Sequence[NoisedTestSet] = ()
    """Test sets that the model and its baseline answered besides."""
    drawn: Sequence[DrawnTestSet] = ()
    """Test sets with other draws of examples, likewise."""
    probes: Sequence[ProbeQuestion] = ()
    """Bias probes that they answered, too."""
    targets: Targets | None = None
    """Training targets that they were to go on with."""
    decoded: int = 0
    """Segments that models answered, of all systems."""

    @property
    def questions(self) -> list[Question]:
        """What models were asked beside the tests."""
        return [*self.probes, *([] if self.targets is None else [self.targets])]

    @property
    def all_test_sets(self) -> list[TestSet]:
        """With noised ones and other draws."""
        return [*self.test_sets, *(n.test_set for n in self.noised), *(d.test_set for d in self.drawn)]

    @property
    def systems(self) -> list[SystemAnswers]:
        """Those there are, the model first."""
        return [self.model, *([] if self.baseline is None else [self.baseline]), *self.rivals]


def make_report(
    context: StageContext, settings: Evaluate, evaluated: Evaluated, data: dict[str, Any], tsv_path: TsvPath
) -> EvaluationReport:
    """Score, compare and judge; rank 0 only.

    Args:
        context: of the stage.
        settings: spec.evaluate.
        evaluated: what was answered.
        data: the prepare stage's report.
        tsv_path: path of a task's segments within the workspace, by name and shots.
    """
    plan, workspace = context.plan, context.workspace
    scored = [
        _task_report(settings, test_set, shots, evaluated, tsv_path)
        for test_set in evaluated.test_sets
        for name, shots in task_keys(test_set)
    ]
    bias = [_bias(evaluated, question, tsv_path(question.name, 0)) for question in evaluated.probes]
    scored = [with_gaps(task, bias) for task in scored]
    concluded = conclude(scored, settings.significance.level)
    gate = None if settings.gate is None else check_gate(settings.gate, concluded.tasks, concluded.findings)
    manifests = read_manifests(plan, workspace)
    model, baseline = evaluated.model.description, evaluated.baseline
    return EvaluationReport(
        job=plan.job.name,
        created_at=datetime.now(UTC),
        verdict=verdict_sentence(model.name, concluded, gate),
        outcome=concluded.outcome,
        findings=concluded.findings,
        notes=[*note_too_few_resamples(concluded.tasks, settings.significance), *_notes(plan, evaluated)],
        model=model,
        baseline=None if baseline is None else baseline.description,
        rivals=[rival.description for rival in evaluated.rivals],
        tasks=concluded.tasks,
        bias=bias,
        memorisation=_memorisation(evaluated, tsv_path),
        gate=gate,
        cost=stage_costs(plan, manifests),
        data=data,
        spec=plan.spec.to_json_object(),
        versions=versions(),
        lineage=lineage(plan, manifests),
    )


def _task_report(
    settings: Evaluate, test_set: TestSet, shots: int, evaluated: Evaluated, tsv_paths: TsvPath
) -> TaskReport:
    key = (test_set.task.name, shots)
    baseline = None if evaluated.baseline is None else evaluated.baseline.outputs[key]
    rivals = {rival.description.name: rival.outputs[key] for rival in evaluated.rivals if key in rival.outputs}
    path = tsv_paths(*key)
    report = assess(test_set, shots, evaluated.model.outputs[key], baseline, settings.significance, path, rivals)
    noised = [
        _noised_score(settings.significance, noised, shots, evaluated, tsv_paths(noised.test_set.task.name, shots))
        for noised in evaluated.noised
        if noised.clean is test_set
    ]
    others = [tsv_paths(other.test_set.task.name, shots) for other in evaluated.drawn if other.first is test_set]
    before = None if evaluated.baseline is None else evaluated.baseline.outputs
    draws = spread_over_draws(test_set, shots, evaluated.drawn, evaluated.model.outputs, before, others)
    return report.model_copy(update={"robustness": noised, "draws": draws})


def _bias(evaluated: Evaluated, question: ProbeQuestion, tsv_path: str) -> BiasReport:
    baseline = None if evaluated.baseline is None else evaluated.baseline.asked.get(question.name)
    return question.report(evaluated.model.asked[question.name], baseline, tsv_path)


def _memorisation(evaluated: Evaluated, tsv_path: TsvPath) -> MemorisationReport | None:
    targets, model, baseline = evaluated.targets, evaluated.model, evaluated.baseline
    if targets is None:
        return None
    copied = []
    for test_set in filter(targets.fits, evaluated.test_sets):
        for key in task_keys(test_set):
            before = None if baseline is None else baseline.outputs[key].texts
            copied.append(targets.copied(test_set, key[1], model.outputs[key].texts, before))
    before = None if baseline is None else baseline.asked.get(targets.name)
    return targets.report(model.asked[targets.name], before, tsv_path(targets.name, 0), copied)


def _noised_score(
    significance: Significance, noised: NoisedTestSet, shots: int, evaluated: Evaluated, tsv_path: str
) -> NoisedScore:
    """The model with noise against itself without; on the same resamples."""
    (lead,) = noised.test_set.task.metrics
    before, after = (noised.clean.task.name, shots), (noised.test_set.task.name, shots)

    def score(system: SystemAnswers) -> Score:
        with_noise, without = ({lead: system.outputs[key].statistics[lead]} for key in (after, before))
        return score_systems(with_noise, without, {}, noised.clean.language, significance)[0][0]

    own = score(evaluated.model)
    baseline = None if evaluated.baseline is None else score(evaluated.baseline)
    shared = own.model_dump(include={"metric", "score", "low", "high", "delta", "delta_low", "delta_high"})
    return NoisedScore(
        noise=noised.noise,
        changed=noised.changed,
        hypotheses=tsv_path,
        **shared,
        baseline=None if baseline is None else baseline.score,
        baseline_delta=None if baseline is None else baseline.delta,
    )


def _notes(plan: Plan, evaluated: Evaluated) -> list[str]:
    """Notes on what the figures do not show, once each."""
    of_tests = [
        note for test_set in evaluated.test_sets for note in find_task(test_set.task.type).notes(plan.spec, test_set)
    ]
    of_metrics = [
        create_metric(name, test_set.language).note
        for test_set in evaluated.test_sets
        for name in test_set.task.metrics
    ]
    alone = _lexical_alone(evaluated)
    of_systems = [note for system in evaluated.systems for note in system.notes]
    of_targets = evaluated.targets.notes if evaluated.targets is not None else []
    notes = [*evaluated.notes, *of_tests, *filter(None, of_metrics), *alone, *of_systems, *of_targets]
    return list(dict.fromkeys(notes))


def _lexical_alone(evaluated: Evaluated) -> list[str]:
    """That the verdict knows letters and words only, where it does."""
    leading = [test_set.task for test_set in evaluated.test_sets if TASKS[test_set.task.type].leads]
    names = list(dict.fromkeys(name for task in leading for name in task.metrics))
    if len(evaluated.systems) == 1 or not names or not all(METRICS[name].lexical for name in names):
        return []
    note = (
        f"The verdict rests on lexical metrics alone ({', '.join(names)}): they compare letters and words with one "
        "reference, so a right answer in other words loses. Before a close decision, ask people or a neural metric."
    )
    return [note]


def evaluation_cost(evaluated: Evaluated, seconds: float, devices: int) -> dict[str, float]:
    """Keys as `stage_costs` has them, of this stage; `devices` is the number of ranks."""
    decoding = sum(system.seconds for system in evaluated.systems)
    cost = {
        "evaluate.seconds": seconds,
        "evaluate.deviceSeconds": seconds * devices,
        "evaluate.translations": float(evaluated.decoded),
        "evaluate.decodingSeconds": decoding,
    }
    if decoding > 0:
        cost["evaluate.translationsPerSecond"] = evaluated.decoded / decoding
    return cost
