r"""A form for models without a chat template: `User: question\nAssistant: answer` and the end of the sequence.

A message of the system stands in front, as `System: message\n`; the next question follows on a new line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from finetune_trainer.prompts.conversations.interface import Conversations, Roles
from finetune_trainer.prompts.segments import leading_ids


class PlainConversations(Conversations):
    """A line a message, of its role and its content; the content may have lines of its own."""

    names: ClassVar[Mapping[str, str]] = {"system": "System: ", "user": "User: ", "assistant": "Assistant: "}
    """What stands before a message, by role."""

    @property
    def begin(self) -> Sequence[int]:
        """See Conversations: what the tokenizer puts before every text."""
        return leading_ids(self.tokenizer)

    def texts_around(self, roles: Roles) -> list[str]:
        """See Conversations."""
        end = str(self.tokenizer.eos_token)
        ends = ["", *(f"{end}\n" if role == "assistant" else "\n" for role in roles)]
        return [*(before + self.names[role] for before, role in zip(ends, roles, strict=False)), end]
