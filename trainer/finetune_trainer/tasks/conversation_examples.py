"""From conversations to what adaptation trains and validates on; shared by tasks whose prompts are conversations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finetune_api.adapt import Adapt
from finetune_trainer.data.conversations import Conversation
from finetune_trainer.data.prepared import PreparedData, TextSplit
from finetune_trainer.data.sampling import shuffled_rows
from finetune_trainer.errors import BadData
from finetune_trainer.objectives.next_token import Example
from finetune_trainer.prompts.conversations import Conversations, EncodedConversation
from finetune_trainer.tasks.interface import TrainingData

VALIDATION_CONVERSATIONS = 2000
"""Conversations of the validation split that are looked at, at most."""


class ConversationExamples:
    """Conversations as examples (ExampleSet), each whole; every one must fit."""

    def __init__(self, conversations: Sequence[EncodedConversation], loss_on: Literal["Target", "All"]) -> None:
        """`loss_on`: Target is what the assistant has to produce, All every token but the first."""
        self._conversations, self._loss_on = conversations, loss_on
        self._lengths: NDArray[np.int64] = np.array([len(c.tokens) for c in conversations], np.int64)
        answered = np.array([int(c.is_answer.sum()) for c in conversations], np.int64)
        # The very first token has nothing before it that could predict it.
        self._loss_units: NDArray[np.int64] = answered if loss_on == "Target" else self._lengths - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._lengths

    @property
    def loss_units(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._loss_units

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
    (language,) = data.languages(adapt.task.source)
    splits = (data.texts(adapt.task.source, name, language) for name in ("train", "validation"))
    limits = (adapt.task.max_examples, VALIDATION_CONVERSATIONS)
    (train, too_long), (validation, _) = (
        _examples(template, read, split, limit, adapt) for split, limit in zip(splits, limits, strict=True)
    )
    if not len(train):
        raise BadData("NoExamples", *_why_nothing(adapt, too_long, what))
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
    template: Conversations, read: Callable[[str], Conversation], split: TextSplit, limit: int | None, adapt: Adapt
) -> tuple[ConversationExamples, int]:
    """Those of at most `limit` conversations that fit a row, and how many do not; nothing is cut."""
    texts = split.text
    encoded = template.encode([read(texts[int(row)]) for row in shuffled_rows(split.keys, limit, adapt.seed)])
    fitting = [one for one in encoded if len(one.tokens) <= adapt.batch.tokens_per_row]
    return ConversationExamples(fitting, adapt.prompts.loss_on), len(encoded) - len(fitting)


def _why_nothing(adapt: Adapt, too_long: int, what: str) -> tuple[str, str]:
    if not too_long:
        return (
            f"spec.adapt.task.source: the training split of '{adapt.task.source}' is empty",
            "See the prepare report for what was dropped and why.",
        )
    rows = f"{adapt.batch.tokens_per_row} tokens"
    message = f"spec.adapt.batch.sequenceLength: none of {too_long:,} {what} fits into {rows}"
    return message, "Raise sequenceLength."
