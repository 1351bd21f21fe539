"""Examples of conversations, and answers to them; shared by tasks whose prompts are conversations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finetune_api.adapt import Adapt
from finetune_api.evaluate import EvaluationTask
from finetune_trainer.data.conversations import Conversation
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.decoding import DecodingLimits, TokenIds
from finetune_trainer.errors import BadData
from finetune_trainer.objectives.next_token import Example
from finetune_trainer.prompts.conversations import Conversations, EncodedConversation
from finetune_trainer.tasks.interface import Predictions, System, TrainingData, empty_training_split
from finetune_trainer.tasks.stored_rows import training_rows


class ConversationExamples:
    """Conversations as examples (ExampleSet), each whole; every one must fit."""

    def __init__(self, conversations: Sequence[EncodedConversation], loss_on: Literal["Target", "All"]) -> None:
        """`loss_on`: Target is what the assistant has to produce, All every token but the first."""
        self._conversations, self._loss_on = conversations, loss_on
        self.lengths: NDArray[np.int64] = np.array([len(c.tokens) for c in conversations], np.int64)
        answered = np.array([int(c.is_answer.sum()) for c in conversations], np.int64)
        # The very first token has nothing before it that could predict it.
        self.loss_units: NDArray[np.int64] = answered if loss_on == "Target" else self.lengths - 1

    def __len__(self) -> int:
        return len(self._conversations)

    def __getitem__(self, index: int) -> Example:
        conversation = self._conversations[index]
        return Example(conversation.tokens, 1, conversation.is_answer if self._loss_on == "Target" else None)


def conversation_training_data(
    adapt: Adapt,
    data: PreparedData,
    template: Conversations,
    read: Callable[[str], Conversation],
    what: Literal["conversations", "questions"],
) -> TrainingData:
    """Training and validation examples: all answers of a conversation in one, none longer than a row.

    Args:
        adapt: settings.
        data: whose source has rows that `read` makes conversations of.
        template: of the prompts.
        read: from the text of a stored row.
        what: the rows are called in counts and messages.

    Raises:
        BadConfiguration: if the tokenizer does not have what the template needs.
        BadData: if there is nothing to train on.
    """
    (train, too_long), (validation, _) = (
        _examples(template, [read(row) for row in rows], adapt) for rows in training_rows(adapt, data)
    )
    if not len(train):
        raise _nothing_fits(adapt, too_long, what) if too_long else empty_training_split(adapt.task.source)
    return TrainingData(
        name=adapt.task.source,
        objective="CausalLM",
        train=train,
        validation={"answers": validation} if len(validation) else {},
        counts={
            what: len(train) + too_long,
            "examples": len(train),
            "examples.tooLong": too_long,
            "targetTokens": int(train.loss_units.sum()),
        },
    )


def _examples(
    template: Conversations, conversations: Sequence[Conversation], adapt: Adapt
) -> tuple[ConversationExamples, int]:
    """Those conversations that fit a row, and how many do not; nothing is cut."""
    encoded = template.encode(conversations)
    fitting = [one for one in encoded if len(one.tokens) <= adapt.batch.tokens_per_row]
    return ConversationExamples(fitting, adapt.prompts.loss_on), len(encoded) - len(fitting)


def _nothing_fits(adapt: Adapt, too_long: int, what: str) -> BadData:
    rows = f"{adapt.batch.tokens_per_row} tokens"
    message = f"spec.adapt.batch.sequenceLength: none of {too_long:,} {what} fits into {rows}"
    return BadData("NoExamples", message, "Raise sequenceLength.")


def answer_prompts(
    system: System,
    task: EvaluationTask,
    prompts: Sequence[TokenIds],
    stop_ids: frozenset[int],
    finish: Callable[[str], str],
) -> Predictions:
    """A system's answers to prompts that are conversations; see `System.answer`."""
    limits = DecodingLimits(stop_ids=stop_ids, max_new_tokens=task.max_new_tokens, context_length=system.context_length)
    answers = system.answer(prompts, limits, task.decoding, finish)
    full = sum(limits.room(len(prompt)) == 0 for prompt in prompts)
    notes = [f"{full} prompts filled the context; their output is empty."] if full else []
    return Predictions(answers.texts, notes, candidates=answers.candidates)
