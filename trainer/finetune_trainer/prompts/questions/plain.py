r"""A form for models without a chat template: `Context: ...\nQuestion: ...\nAnswer: ...` and the sequence's end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from finetune_trainer.prompts.conversations.plain import PlainConversations
from finetune_trainer.prompts.questions.interface import Questions


class PlainQuestions(Questions, PlainConversations):
    """Three lines, but for those of the context."""

    names: ClassVar[Mapping[str, str]] = {"user": "Context: ", "assistant": "Answer: "}

    def request(self, context: str, question: str) -> str:
        """See Questions."""
        return f"{context}\nQuestion: {question}"
