"""The chat template of a tokenizer, rendered, and why it cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from finetune_trainer.errors import BadConfiguration

FIELD = "spec.adapt.prompts.template"
BEGINS_OTHERWISE = "it begins an answer in another way where one is to be generated than where one is given"


def mark(number: int) -> str:
    """A text that no template knows, in the place of one to come: characters of private use."""
    return f"\ue000{number}\ue000"


def usual_template(tokenizer: PreTrainedTokenizerBase) -> Literal["Chat", "Plain"]:
    """Of a model that nobody adapted to another one."""
    return "Chat" if getattr(tokenizer, "chat_template", None) else "Plain"


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """That of a model's own tokenizer."""

    tokenizer: PreTrainedTokenizerBase
    without_it: str
    """What to use where there is none, beside a model that has one."""
    instead: str
    """What to do where it cannot be used; a sentence."""

    def render(self, messages: Sequence[Mapping[str, str]], *, generate: bool) -> str:
        """A conversation as text; with `generate` up to where its next answer begins.

        Raises:
            BadConfiguration: if there is no template, or it cannot be rendered.
        """
        if not getattr(self.tokenizer, "chat_template", None):
            raise BadConfiguration(
                "NoChatTemplate",
                f"{FIELD}: Chat is the chat template of the model's tokenizer, and it has none",
                f"Use a model tuned for chat, or {self.without_it}.",
            )
        conversation = [dict(message) for message in messages]
        try:
            return str(self.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=generate))
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            raise self.unusable(f"it cannot be rendered: {error}") from error

    def unusable(self, reason: str) -> BadConfiguration:
        """The failure that says so."""
        return BadConfiguration(
            "ChatTemplateNotUsable",
            f"{FIELD}: the chat template of the model's tokenizer cannot be used: {reason}",
            self.instead,
        )
