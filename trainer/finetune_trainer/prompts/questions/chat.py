"""The chat template of the model's own tokenizer, around an instruction, the context and the question."""

from __future__ import annotations

from finetune_trainer.prompts.conversations.chat import ChatConversations
from finetune_trainer.prompts.questions.interface import NO_ANSWER, Questions

_INSTRUCTION = (
    "Answer the question with words of the context, as few as possible. "
    f"If the context does not answer it, write: {NO_ANSWER}"
)


class ChatQuestions(Questions, ChatConversations):
    """One message of the user, one of the assistant."""

    def request(self, context: str, question: str) -> str:
        """See Questions."""
        return f"{_INSTRUCTION}\n\nContext: {context}\n\nQuestion: {question}"
