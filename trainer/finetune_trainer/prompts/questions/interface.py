"""What a template of questions is: a conversation of one request, which holds context and question, and one answer."""

from __future__ import annotations

from abc import abstractmethod

from finetune_trainer.prompts.conversations.interface import Conversations

NO_ANSWER = "unanswerable"
"""What a model has to write where the context does not answer; one word of English, whatever the language."""


class Questions(Conversations):
    """Conversations of two messages."""

    @abstractmethod
    def request(self, context: str, question: str) -> str:
        """The content of the first."""
        ...
