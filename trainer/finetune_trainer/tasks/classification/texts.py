"""The task Classification: a label for a text, or any number of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_api.adapt import Adapt
from finetune_api.job import FineTuneJobSpec
from finetune_api.registries import TASKS
from finetune_api.report import ClassReport, Confusion
from finetune_trainer.data.hypotheses import alignments_of
from finetune_trainer.data.labelled import SEPARATOR, LabelledText, loaded
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.models import Head, label_names
from finetune_trainer.objectives.padded import HeadExample
from finetune_trainer.tasks.classification.classes import class_reports, confusion
from finetune_trainer.tasks.classification.encoding import encode_texts, shortened_note
from finetune_trainer.tasks.classification.label_numbers import LabelNumbers
from finetune_trainer.tasks.head_examples import training_data_of
from finetune_trainer.tasks.interface import Predictions, System, Task, TestSet, TrainingData, evaluation_task
from finetune_trainer.tasks.stored_rows import rows_to_answer, trained_rows, training_rows

_THRESHOLD = 0.0
"""Logit above which a text has a label that it may have beside others: a probability of one half."""


@dataclass(frozen=True, kw_only=True)
class ClassificationTestSet(TestSet):
    """Texts, and what they are."""

    texts: list[LabelledText]
    has_label_sets: bool
    most_frequent: str
    """Answer that most rows of the training split have."""


class ClassificationTask(Task[ClassificationTestSet]):
    """Texts of a Labelled source, by a head on the whole of each."""

    def head(self, adapt: Adapt, data: PreparedData) -> Head:
        """See Task: the labels of the training split, in their order."""
        source = adapt.task.source
        return Head(
            TASKS["Classification"].model_class,
            data.labels(source),
            data.has_label_sets(source),
            data.pad_id,
            may_be_new=True,
            seed=adapt.seed,
        )

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:
        """See Task; texts that are longer than a row are shortened, and counted."""
        numbers = LabelNumbers(head.labels or (), adapt.task.source)
        tokenizer, shortened, sets = data.tokenizer(), [], []
        for rows in training_rows(adapt, data):
            texts = [loaded(row) for row in rows]
            encoded = encode_texts(tokenizer, texts, adapt.batch.tokens_per_row)
            targets = (_target(text, numbers, as_set=head.has_label_sets) for text in texts)
            sets.append([HeadExample(*pair) for pair in zip(encoded.rows, targets, strict=True)])
            shortened.append(encoded.shortened)
        counts = {"examples.shortened": shortened[0], "labels": len(numbers)}
        return training_data_of(adapt, "SequenceClassification", sets[0], sets[1], counts)

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> ClassificationTestSet:
        """See Task."""
        task = evaluation_task(spec, index)
        rows = rows_to_answer(data, task, f"spec.evaluate.tasks[{index}]")
        texts = [loaded(row) for row in rows]
        answers = Counter(loaded(row).answer for row in trained_rows(spec, data))
        return ClassificationTestSet(
            task=task,
            sources=[one_line(text.text if text.pair is None else f"{text.text} {text.pair}") for text in texts],
            references=[(text.answer,) for text in texts],
            language=data.languages(task.source)[0],
            alignments=alignments_of(task, data),
            texts=texts,
            has_label_sets=data.has_label_sets(task.source),
            most_frequent=max(sorted(answers), key=answers.__getitem__, default=""),
        )

    def predict(self, system: System, test_set: ClassificationTestSet, shots: int) -> Predictions:  # noqa: ARG002 - see Task
        """See Task: the likeliest label, or all that are likelier than not."""
        encoded = encode_texts(system.tokenizer, test_set.texts, system.context_length)
        logits = system.run_head(encoded.rows, lambda output: output.logits)
        names = label_names(system.model)
        as_sets = system.model.config.problem_type == "multi_label_classification"
        return Predictions(
            [_answer(row, names, as_set=as_sets) for row in logits], shortened_note(encoded.shortened, "texts")
        )

    def answer_without_model(self, test_set: ClassificationTestSet) -> Predictions:
        """See Task: the most frequent answer of the training split."""
        note = "each text is given what most texts of the training split are"
        return Predictions([test_set.most_frequent] * len(test_set.texts), [note])

    def classes(self, test_set: ClassificationTestSet, outputs: Sequence[str]) -> list[ClassReport]:
        """See Task."""
        return class_reports(list(map(_label_set, test_set.first_references)), list(map(_label_set, outputs)))

    def confusion(self, test_set: ClassificationTestSet, outputs: Sequence[str]) -> Confusion | None:
        """See Task: of texts with one label each."""
        return None if test_set.has_label_sets else confusion(test_set.first_references, outputs)


def _label_set(answer: str) -> set[str]:
    return set(answer.split(SEPARATOR)) if answer else set()


def _target(text: LabelledText, numbers: LabelNumbers, *, as_set: bool) -> NDArray[np.int64]:
    """As SequenceClassification has it."""
    found = numbers.of(text.labels)
    if not as_set:
        return np.array(found[0], np.int64)
    target = np.zeros(len(numbers), np.int64)
    target[found] = 1
    return target


def _answer(logits: NDArray[np.float32], names: Sequence[str], *, as_set: bool) -> str:
    """As `LabelledText.answer`."""
    if not as_set:
        return names[int(logits.argmax())]
    return SEPARATOR.join(sorted(names[number] for number in np.flatnonzero(logits > _THRESHOLD).tolist()))
