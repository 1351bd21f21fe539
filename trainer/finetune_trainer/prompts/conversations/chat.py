"""The chat template of the model's own tokenizer."""

from __future__ import annotations

from jinja2 import TemplateError

from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.conversations.interface import ASSISTANT, Conversations, Roles

_USE_PLAIN = "Use prompts.template: Plain."


class ChatConversations(Conversations):
    """Takes the template apart by rendering marks with it, once for each order of roles."""

    def texts_around(self, roles: Roles) -> list[str]:
        """See Conversations.

        Raises:
            BadConfiguration: if there is none, or one that does not show each message once, or begins an answer in
                another way where one is to be generated than where one is given.
        """
        messages = [{"role": role, "content": _mark(place)} for place, role in enumerate(roles)]
        rest = self._render(messages, generate=False)
        texts, seen = [], ""
        for place, message in enumerate(messages):
            before, found, rest = rest.partition(message["content"])
            if not found:
                raise _unusable(f"it does not show each message of {', '.join(roles)} once, in order and as it is")
            texts.append(before)
            seen += before
            if message["role"] == ASSISTANT:
                asked = self._render(messages[:place], generate=True)
                if asked.rstrip(" ") != seen.rstrip(" "):
                    raise _unusable(
                        "it begins an answer in another way where one is to be generated than where one is given"
                    )
            seen += found
        return [*texts, rest]

    def _render(self, messages: list[dict[str, str]], *, generate: bool) -> str:
        if not getattr(self.tokenizer, "chat_template", None):
            raise BadConfiguration(
                "NoChatTemplate",
                "spec.adapt.prompts.template: Chat is the chat template of the model's tokenizer, and it has none",
                "Use a model tuned for chat, or prompts.template: Plain.",
            )
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate))
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            raise _unusable(f"it cannot be rendered: {error}") from error


def _mark(place: int) -> str:
    """A text that no template knows, in the place of a message: characters of private use."""
    return f"\ue000{place}\ue000"


def _unusable(reason: str) -> BadConfiguration:
    return BadConfiguration(
        "ChatTemplateNotUsable",
        f"spec.adapt.prompts.template: the chat template of the model's tokenizer cannot be used: {reason}",
        _USE_PLAIN,
    )
