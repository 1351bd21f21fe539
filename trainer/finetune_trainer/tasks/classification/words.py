"""The task TokenClassification: a tag for each word, by IOB2."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune_api.adapt import Adapt
from finetune_api.job import FineTuneJobSpec
from finetune_api.registries import TASKS
from finetune_api.report import ClassReport
from finetune_trainer.data.hypotheses import alignments_of
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.tagged import OUTSIDE, TaggedSentence, loaded, tags_of_types
from finetune_trainer.metrics.entities import entities
from finetune_trainer.models import Head, label_names
from finetune_trainer.objectives.padded import IGNORED, HeadExample
from finetune_trainer.tasks.classification.classes import class_reports
from finetune_trainer.tasks.classification.encoding import EncodedWords, encode_words, shortened_note
from finetune_trainer.tasks.classification.label_numbers import LabelNumbers
from finetune_trainer.tasks.head_examples import training_data_of
from finetune_trainer.tasks.interface import Predictions, System, Task, TestSet, TrainingData, evaluation_task
from finetune_trainer.tasks.stored_rows import rows_to_answer, trained_rows, training_rows


@dataclass(frozen=True, kw_only=True)
class TaggedTestSet(TestSet):
    """Sentences, and the tags of their words."""

    sentences: list[TaggedSentence]
    usual: dict[str, str]
    """The tag that each word of the training split has most often."""


class TokenClassificationTask(Task[TaggedTestSet]):
    """Sentences of a CoNLL source, by a head on the first token of each word."""

    def head(self, adapt: Adapt, data: PreparedData) -> Head:
        """See Task: O, and both tags of each type of the training split."""
        return Head(
            TASKS["TokenClassification"].model_class,
            tags_of_types(data.labels(adapt.task.source)),
            pad_id=data.pad_id,
            may_be_new=True,
            seed=adapt.seed,
        )

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:
        """See Task; sentences that are longer than a row are shortened, and counted."""
        numbers = LabelNumbers(head.labels or (), adapt.task.source)
        tokenizer, shortened, sets = data.tokenizer(), [], []
        for rows in training_rows(adapt, data):
            sentences = [loaded(row) for row in rows]
            encoded = encode_words(tokenizer, [s.words for s in sentences], adapt.batch.tokens_per_row)
            sets.append([_example(*pair, numbers) for pair in zip(encoded.rows, sentences, strict=True)])
            shortened.append(encoded.shortened)
        counts = {"examples.shortened": shortened[0], "labels": len(numbers)}
        return training_data_of(adapt, "TokenClassification", sets[0], sets[1], counts)

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> TaggedTestSet:
        """See Task."""
        task = evaluation_task(spec, index)
        rows = rows_to_answer(data, task, f"spec.evaluate.tasks[{index}]")
        sentences = [loaded(row) for row in rows]
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for sentence in map(loaded, trained_rows(spec, data)):
            for word, tag in zip(sentence.words, sentence.tags, strict=True):
                seen[word][tag] += 1
        return TaggedTestSet(
            task=task,
            sources=[sentence.text for sentence in sentences],
            references=[(sentence.answer,) for sentence in sentences],
            language=data.languages(task.source)[0],
            alignments=alignments_of(task, data),
            sentences=sentences,
            usual={word: max(sorted(tags), key=tags.__getitem__) for word, tags in seen.items()},
        )

    def predict(self, system: System, test_set: TaggedTestSet, shots: int) -> Predictions:  # noqa: ARG002 - see Task
        """See Task: the likeliest tag of each word; words without room have none, which is O."""
        encoded = encode_words(system.tokenizer, [s.words for s in test_set.sentences], system.context_length)
        found = system.run_head([row.row for row in encoded.rows], lambda output: output.logits.argmax(-1))
        names, texts = label_names(system.model), []
        for numbers, row, sentence in zip(found, encoded.rows, test_set.sentences, strict=True):
            tags = [names[int(numbers[place])] for place in row.firsts]
            texts.append(" ".join([*tags, *[OUTSIDE] * (len(sentence.words) - len(tags))]))
        return Predictions(texts, shortened_note(encoded.shortened, "sentences"))

    def answer_without_model(self, test_set: TaggedTestSet) -> Predictions:
        """See Task: each word's most frequent tag in the training split."""
        answers = [" ".join(test_set.usual.get(word, OUTSIDE) for word in s.words) for s in test_set.sentences]
        note = "each word is given the tag that it has most often in the training split; words that are not there, O"
        return Predictions(answers, [note])

    def classes(self, test_set: TaggedTestSet, outputs: Sequence[str]) -> list[ClassReport]:
        """See Task: types of entities, each with both ends."""
        spans = [
            [
                {(kind, (place, start, end)) for kind, start, end in entities(text.split())}
                for place, text in enumerate(t)
            ]
            for t in (test_set.first_references, outputs)
        ]
        return class_reports(spans[0], spans[1], name=lambda span: span[0])


def _example(row: EncodedWords, sentence: TaggedSentence, numbers: LabelNumbers) -> HeadExample:
    target = np.full(len(row.row.tokens), IGNORED, np.int64)
    target[row.firsts] = numbers.of(sentence.tags[: len(row.firsts)])
    return HeadExample(row.row, target)
