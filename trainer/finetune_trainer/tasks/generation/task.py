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
from finetune_trainer.data.sampling import fixed_sample
from finetune_trainer.decoding import DecodingLimits
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import Head
from finetune_trainer.prompts.conversations import create_conversations
from finetune_trainer.tasks.conversation_examples import conversation_training_data
from finetune_trainer.tasks.interface import (
    VALIDATION,
    Part,
    Predictions,
    System,
    Task,
    TestSet,
    TrainingData,
    adapted_template,
    empty_split,
)


@dataclass(frozen=True, kw_only=True)
class GenerationTestSet(TestSet):
    """Conversations, and what the last of their answers should be."""

    conversations: list[Conversation]


class GenerationTask(Task[GenerationTestSet]):
    """Conversations of an Instruction source."""

    def training_data(self, adapt: Adapt, data: PreparedData, ranks: Ranks, head: Head) -> TrainingData:  # noqa: ARG002 - see Task
        """See Task."""
        template = create_conversations(adapt.prompts.template, data.tokenizer())
        return conversation_training_data(adapt, data, template, loaded, "conversations")

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> GenerationTestSet:
        """See Task."""
        if spec.evaluate is None:
            raise BadConfiguration("NoEvaluateBlock", "the spec has no evaluate block", "Add spec.evaluate.")
        return _load(spec, data, spec.evaluate.tasks[index], f"spec.evaluate.tasks[{index}]")

    def validation_set(self, spec: FineTuneJobSpec, data: PreparedData, task: EvaluationTask) -> GenerationTestSet:
        """See Task."""
        return _load(spec, data, task, "spec.adapt.evaluation", VALIDATION)

    def predict(self, system: System, test_set: GenerationTestSet, shots: int) -> Predictions:  # noqa: ARG002 - see Task
        """See Task: line breaks of an answer become blanks, as those of references."""
        conversations = create_conversations(test_set.template, system.tokenizer)
        prompts = conversations.ask(test_set.conversations)
        limits = DecodingLimits(
            stop_ids=conversations.stop_ids,
            max_new_tokens=test_set.task.max_new_tokens,
            context_length=system.context_length,
        )
        answers = system.answer(prompts, limits, test_set.task.decoding, one_line)
        full = sum(limits.room(len(prompt)) == 0 for prompt in prompts)
        notes = [f"{full} prompts filled the context; their output is empty."] if full else []
        return Predictions(answers.texts, notes, candidates=answers.candidates)

    def diagnose(self, test_set: GenerationTestSet, outputs: Sequence[str]) -> dict[str, float]:
        """See Task."""
        rows = list(zip(test_set.first_references, outputs, strict=True))
        return {"empty": sum(not output and bool(reference) for reference, output in rows) / max(1, len(rows))}


def _load(
    spec: FineTuneJobSpec, data: PreparedData, task: EvaluationTask, field: str, part: Part = "test"
) -> GenerationTestSet:
    """`field` is what asks for it."""
    (language,) = data.languages(task.source)
    split = data.texts(task.source, part, language)
    if len(split) == 0:
        raise empty_split(field, task.source, part)
    texts = [split.text[int(row)] for row in fixed_sample(split.keys, task.max_segments)]
    conversations = [loaded(text) for text in texts]
    return GenerationTestSet(
        task=task,
        sources=[one_line(asked(text)) for text in texts],
        references=[(one_line(talk[-1]["content"]),) for talk in conversations],
        language=language,
        alignments=alignments_of(task, data),
        conversations=conversations,
        template=adapted_template(spec, task.type),
    )
