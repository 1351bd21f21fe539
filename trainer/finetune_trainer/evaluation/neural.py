"""Neural metrics: computed by a program that the platform names, from a checkpoint that the manifest names."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from finetune_api.evaluate import Evaluate
from finetune_api.labels import ENV_NEURAL_METRICS
from finetune_api.registries import METRICS
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.answers import SystemAnswers, TaskKey, task_keys
from finetune_trainer.evaluation.scorer_process import Program, score_segments
from finetune_trainer.tasks import TestSet
from finetune_trainer.workspace.storage import local_path

_FIELD = "spec.evaluate.neural"


def neural_programs(settings: Evaluate) -> list[Program]:
    """One for each neural metric that a task asks for; looked for before anything is decoded.

    Raises:
        BadConfiguration: if this environment has no program, or the checkpoint is not there.
    """
    names = dict.fromkeys(name for task in settings.tasks for name in task.metrics if METRICS[name].neural)
    if not names or settings.neural is None:
        return []
    command = shlex.split(os.environ.get(ENV_NEURAL_METRICS, ""))
    if not command or shutil.which(command[0]) is None:
        what = f"names {command[0]}, which is no program here" if command else "is not set"
        raise BadConfiguration(
            "NoNeuralMetrics",
            f"{_FIELD}: {' and '.join(names)} cannot be computed here: {ENV_NEURAL_METRICS} {what}",
            "Use a runtime whose image has neural metrics (docs/tasks/platform-team.md), or leave the metric out.",
        )
    checkpoint = local_path(settings.neural.checkpoint.uri, f"{_FIELD}.checkpoint.uri")
    if not checkpoint.exists():
        raise BadConfiguration(
            "CheckpointNotFound",
            f"{_FIELD}.checkpoint.uri: no such file or folder: {checkpoint}",
            "Copy the metric's model there, or correct the path.",
        )
    return [Program(command, name, checkpoint, settings.neural.timeout_seconds) for name in names]


def add_neural_scores(
    programs: Sequence[Program],
    test_sets: Sequence[TestSet],
    systems: Sequence[SystemAnswers],
    beat: Callable[[], None],
) -> None:
    """Add the statistics of neural metrics to the answers of all systems; each program runs once for all of them.

    Raises:
        BadConfiguration: see `score_segments`.
    """
    for program in programs:
        wanted = [
            (system, key, test_set)
            for test_set, key in _asking(test_sets, program.metric)
            for system in systems
            if key in system.outputs
        ]
        rows = [
            {"source": source, "output": output, "reference": reference}
            for system, key, test_set in wanted
            for source, output, reference in zip(
                test_set.sources, system.outputs[key].texts, test_set.first_references, strict=True
            )
        ]
        found = score_segments(program, rows, beat)
        scores = iter(found.scores)
        for system, key, test_set in wanted:
            values = np.array([[next(scores), 1.0] for _ in test_set.sources])
            before = system.outputs[key]
            system.outputs[key] = replace(
                before,
                statistics={**before.statistics, program.metric: values},
                signatures={**before.signatures, program.metric: found.signature},
            )


def _asking(test_sets: Sequence[TestSet], metric: str) -> Iterator[tuple[TestSet, TaskKey]]:
    return ((test_set, key) for test_set in test_sets if metric in test_set.task.metrics for key in task_keys(test_set))
