"""The task for encoders: a head marks where the answer begins and ends in the context."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from finetune_api.adapt import Adapt
from finetune_api.job import FineTuneJobSpec
from finetune_api.registries import TASKS
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.questions import loaded
from finetune_trainer.models import Head
from finetune_trainer.objectives.padded import HeadExample
from finetune_trainer.tasks.head_examples import training_data_of
from finetune_trainer.tasks.interface import Grouping, Predictions, System, Task, TrainingData
from finetune_trainer.tasks.question_answering.best_span import best_answers
from finetune_trainer.tasks.question_answering.test_set import (
    QuestionTestSet,
    failures,
    groupings,
    question_test_set,
)
from finetune_trainer.tasks.question_answering.windows import encode_windows
from finetune_trainer.tasks.stored_rows import training_rows

_TYPE = "ExtractiveQuestionAnswering"


class ExtractiveTask(Task[QuestionTestSet]):
    """Questions of a QuestionAnswering source; of several right answers the first is trained on."""

    def head(self, adapt: Adapt, data: PreparedData) -> Head:
        """See Task: two numbers a token."""
        return Head(TASKS[_TYPE].model_class, pad_id=data.pad_id, may_be_new=True, seed=adapt.seed)

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:  # noqa: ARG002 - see Task
        """See Task: one example a window; one without the answer has the place that says so."""
        tokenizer, sets, asked = data.tokenizer(), [], []
        for rows in training_rows(adapt, data):
            questions = [loaded(row) for row in rows]
            windows, _ = encode_windows(tokenizer, questions, adapt.batch.tokens_per_row)
            first = [question.answers[0] if question.answers else None for question in questions]
            sets.append([HeadExample(window.row, window.span_of(first[window.question])) for window in windows])
            asked.append(len(questions))
        spans = sum(bool(example.target.any()) for example in sets[0])
        counts = {"questions": asked[0], "examples.withAnswer": spans}
        return training_data_of(adapt, "SpanExtraction", sets[0], sets[1], counts)

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> QuestionTestSet:
        """See Task."""
        return question_test_set(spec, data, index)

    def predict(self, system: System, test_set: QuestionTestSet, shots: int) -> Predictions:  # noqa: ARG002 - see Task
        """See Task: the best span over all windows of a context; none only where the test has such questions."""
        questions = test_set.questions
        windows, cut = encode_windows(system.tokenizer, questions, system.context_length)
        ends = system.run_head(
            [window.row for window in windows],
            lambda output: torch.stack([output.start_logits, output.end_logits], 1),
        )
        answers = best_answers(
            questions,
            windows,
            ends,
            may_be_unanswerable=any(not question.answers for question in questions),
        )
        notes = (
            [f"{cut:,} questions take more than half of the model's context: their ends were left out."] if cut else []
        )
        return Predictions([one_line(answer) for answer in answers], notes)

    def diagnose(self, test_set: QuestionTestSet, outputs: Sequence[str]) -> dict[str, float]:
        """See Task; what is marked always stands in the context."""
        return {"unanswered": failures(test_set, outputs)["unanswered"]}

    def groupings(self, test_set: QuestionTestSet, shots: int) -> dict[str, Grouping]:  # noqa: ARG002 - see Task
        """See Task."""
        return groupings(test_set)
