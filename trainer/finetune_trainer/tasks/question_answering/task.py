"""The task for causal models: context and question are a prompt, the answer is written."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.adapt import Adapt
from finetune_api.job import FineTuneJobSpec
from finetune_api.questions import Question
from finetune_trainer.data.conversations import Conversation
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.questions import loaded
from finetune_trainer.models import Head
from finetune_trainer.prompts.questions import NO_ANSWER, Questions, create_questions
from finetune_trainer.tasks.conversation_examples import answer_prompts, conversation_training_data
from finetune_trainer.tasks.interface import Grouping, Predictions, System, Task, TrainingData
from finetune_trainer.tasks.question_answering.test_set import (
    QuestionTestSet,
    failures,
    groupings,
    question_test_set,
)


class QuestionAnsweringTask(Task[QuestionTestSet]):
    """Questions of a QuestionAnswering source; of several right answers the first is trained on."""

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:  # noqa: ARG002 - see Task
        """See Task."""
        template = create_questions(adapt.prompts.template, data.tokenizer())
        return conversation_training_data(
            adapt, data, template, lambda text: _conversation(template, loaded(text)), "questions"
        )

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> QuestionTestSet:
        """See Task."""
        return question_test_set(spec, data, index)

    def predict(self, system: System, test_set: QuestionTestSet, shots: int) -> Predictions:  # noqa: ARG002 - see Task
        """See Task: the word that says that there is no answer becomes no text."""
        template = create_questions(test_set.template, system.tokenizer)
        prompts = template.ask([_conversation(template, question) for question in test_set.questions])
        return answer_prompts(
            system, test_set.task, prompts, template.stop_ids, lambda text: without_word(one_line(text))
        )

    def diagnose(self, test_set: QuestionTestSet, outputs: Sequence[str]) -> dict[str, float]:
        """See Task."""
        return failures(test_set, outputs)

    def groupings(self, test_set: QuestionTestSet, shots: int) -> dict[str, Grouping]:  # noqa: ARG002 - see Task
        """See Task."""
        return groupings(test_set)


def _conversation(template: Questions, question: Question) -> Conversation:
    answer = question.answers[0].text if question.answers else NO_ANSWER
    return [
        {"role": "user", "content": template.request(question.context, question.question)},
        {"role": "assistant", "content": answer},
    ]


def without_word(answer: str) -> str:
    """The answer; the empty text for the word that says that there is none."""
    return "" if answer.strip(" .").casefold() == NO_ANSWER else answer
