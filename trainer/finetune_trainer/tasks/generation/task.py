"""The task, as stages and evaluation see it: the last answer of each conversation is what a test asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.adapt import Adapt
from finetune_api.evaluate import EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.conversations import Conversation, asked, loaded
from finetune_trainer.data.hypotheses import alignments_of
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.models import Head
from finetune_trainer.prompts.conversations import create_conversations
from finetune_trainer.tasks.conversation_examples import answer_prompts, conversation_training_data
from finetune_trainer.tasks.interface import (
    VALIDATION,
    Part,
    Predictions,
    System,
    Task,
    TestSet,
    TrainingData,
    adapted_template,
    evaluation_task,
)
from finetune_trainer.tasks.stored_rows import rows_to_answer


@dataclass(frozen=True, kw_only=True)
class GenerationTestSet(TestSet):
    """Conversations, and what the last of their answers should be."""

    conversations: list[Conversation]


class GenerationTask(Task[GenerationTestSet]):
    """Conversations of an Instruction source."""

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:  # noqa: ARG002 - see Task
        """See Task."""
        template = create_conversations(adapt.prompts.template, data.tokenizer())
        return conversation_training_data(adapt, data, template, loaded, "conversations")

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> GenerationTestSet:
        """See Task."""
        return _load(spec, data, evaluation_task(spec, index), f"spec.evaluate.tasks[{index}]")

    def validation_set(self, spec: FineTuneJobSpec, data: PreparedData, task: EvaluationTask) -> GenerationTestSet:
        """See Task."""
        return _load(spec, data, task, "spec.adapt.evaluation", VALIDATION)

    def predict(self, system: System, test_set: GenerationTestSet, shots: int) -> Predictions:  # noqa: ARG002 - see Task
        """See Task: line breaks of an answer become blanks, as those of references."""
        conversations = create_conversations(test_set.template, system.tokenizer)
        prompts = conversations.ask(test_set.conversations)
        return answer_prompts(system, test_set.task, prompts, conversations.stop_ids, one_line)

    def diagnose(self, test_set: GenerationTestSet, outputs: Sequence[str]) -> dict[str, float]:
        """See Task."""
        rows = list(zip(test_set.first_references, outputs, strict=True))
        return {"empty": sum(not output and bool(reference) for reference, output in rows) / max(1, len(rows))}


def _load(
    spec: FineTuneJobSpec, data: PreparedData, task: EvaluationTask, field: str, part: Part = "test"
) -> GenerationTestSet:
    """`field` is what asks for it."""
    texts = rows_to_answer(data, task, field, part)
    conversations = [loaded(text) for text in texts]
    return GenerationTestSet(
        task=task,
        sources=[one_line(asked(text)) for text in texts],
        references=[(one_line(talk[-1]["content"]),) for talk in conversations],
        language=data.languages(task.source)[0],
        alignments=alignments_of(task, data),
        conversations=conversations,
        template=adapted_template(spec, task.type),
    )
