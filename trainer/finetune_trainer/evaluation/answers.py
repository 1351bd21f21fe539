"""What each system answers to each test set, with the statistics of the answers."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from finetune_api.registries import TASKS
from finetune_api.report import ModelDescription
from finetune_trainer.context import StageContext
from finetune_trainer.errors import Preempted
from finetune_trainer.evaluation.assess import SystemOutputs, task_statistics
from finetune_trainer.evaluation.questions import Question
from finetune_trainer.evaluation.systems import load_system
from finetune_trainer.models import ModelChoice
from finetune_trainer.tasks import Predictions, TestSet, find_task

TaskKey = tuple[str, int]
"""Task name and shots."""


@dataclass(slots=True)
class SystemAnswers:
    """What one system did."""

    description: ModelDescription
    outputs: dict[TaskKey, SystemOutputs] = field(default_factory=dict)
    asked: dict[str, list[str]] = field(default_factory=dict)
    """Answers by name of question."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """Answering, without loading."""


def task_keys(test_set: TestSet) -> list[TaskKey]:
    """One key per shot count of a task."""
    return [(test_set.task.name, shots) for shots in dict.fromkeys(test_set.task.shots)]


def count_answers(test_sets: Sequence[TestSet]) -> int:
    """Answers of one system."""
    return sum(len(test_set.sources) * len(test_set.task.shots) for test_set in test_sets)


def answer_all(
    context: StageContext,
    choice: ModelChoice,
    test_sets: Sequence[TestSet],
    on_batch: Callable[[int], None],
    adapter: Path | None = None,
    questions: Sequence[Question] = (),
) -> SystemAnswers:
    """Load a system, answer all tasks, add up statistics, and free the model again; collective.

    `adapter` is the folder of an adapter that is merged into the model first; `questions` are asked besides.
    """
    context.progress.update(phase="Loading", message=choice.name)
    answers = SystemAnswers(ModelDescription(name=choice.name, path=choice.path))
    for model_class in dict.fromkeys(TASKS[test_set.task.type].model_class for test_set in test_sets):
        system = load_system(context, choice, model_class, on_batch, adapter)
        parameters = sum(p.numel() for p in system.model.parameters())
        answers.description = answers.description.model_copy(update={"parameters": parameters})
        for test_set in test_sets:
            task = find_task(test_set.task.type)
            if TASKS[test_set.task.type].model_class != model_class:
                continue
            for key in task_keys(test_set):
                started = time.monotonic()
                predictions = task.predict(system, test_set, key[1])
                answers.seconds += time.monotonic() - started
                answers.notes += [f"{key[0]} ({key[1]}-shot), {choice.name} model: {n}" for n in predictions.notes]
                statistics = predictions.statistics
                if statistics is None:
                    statistics = task_statistics(test_set, predictions.texts, context.ranks)
                answers.outputs[key] = SystemOutputs(predictions.texts, statistics, predictions.candidates)
        for question in questions if model_class == TASKS["Translation"].model_class else ():
            started = time.monotonic()
            answers.asked[question.name] = question.ask(system)
            answers.seconds += time.monotonic() - started
        del system
        gc.collect()
        if context.device.type == "cuda":
            torch.cuda.empty_cache()
    return answers


def repeat_answers(
    context: StageContext,
    description: ModelDescription,
    test_sets: Sequence[TestSet],
    predictions: Mapping[str, Predictions],
) -> SystemAnswers:
    """Answers of a system that is given no prompt, by task name: the same for every shot count; collective."""
    answers = SystemAnswers(description)
    for test_set in test_sets:
        given = predictions.get(test_set.task.name)
        if given is None:
            continue
        answers.notes += [f"{test_set.task.name}, {description.name}: {note}" for note in given.notes]
        outputs = SystemOutputs(given.texts, task_statistics(test_set, given.texts, context.ranks))
        answers.outputs |= dict.fromkeys(task_keys(test_set), outputs)
    return answers


def answer_without_model(context: StageContext, test_sets: Sequence[TestSet]) -> SystemAnswers:
    """What can be said without a model, as the baseline of tasks that the model before adaptation has no head for."""
    predictions = {t.task.name: find_task(t.task.type).answer_without_model(t) for t in test_sets}
    return repeat_answers(context, ModelDescription(name=WITHOUT_MODEL, path=""), test_sets, predictions)


WITHOUT_MODEL = "most frequent label"
"""Name of that baseline."""


def answering_progress(context: StageContext, count: int) -> Callable[[int], None]:
    """Reports progress every few tokens, as if all ranks were equally fast; stops where a stop was asked for."""
    done = 0

    def on_batch(size: int) -> None:
        nonlocal done
        if context.stop.requested:
            raise Preempted(None, "the evaluation was stopped: it starts anew next time")
        done += size
        context.progress.update(phase="Decoding", step=min(count, done * context.ranks.size), total_steps=count)

    return on_batch
