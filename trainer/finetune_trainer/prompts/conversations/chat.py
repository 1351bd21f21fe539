"""The chat template of the model's own tokenizer."""

from __future__ import annotations

from finetune_trainer.prompts.chat_template import BEGINS_OTHERWISE, ChatTemplate, mark
from finetune_trainer.prompts.conversations.interface import ASSISTANT, Conversations, Roles


class ChatConversations(Conversations):
    """Takes the template apart by rendering marks with it, once for each order of roles."""

    def texts_around(self, roles: Roles) -> list[str]:
        """See Conversations.

        Raises:
            BadConfiguration: if there is none, or one that does not show each message once, or begins an answer in
                another way where one is to be generated than where one is given.
        """
        template = ChatTemplate(self.tokenizer, "prompts.template: Plain", "Use prompts.template: Plain.")
        messages = [{"role": role, "content": mark(place)} for place, role in enumerate(roles)]
        rest = template.render(messages, generate=False)
        texts, seen = [], ""
        for place, message in enumerate(messages):
            before, found, rest = rest.partition(message["content"])
            if not found:
                raise template.unusable(
                    f"it does not show each message of {', '.join(roles)} once, in order and as it is"
                )
            texts.append(before)
            seen += before
            if message["role"] == ASSISTANT:
                asked = template.render(messages[:place], generate=True)
                if asked.rstrip(" ") != seen.rstrip(" "):
                    raise template.unusable(BEGINS_OTHERWISE)
            seen += found
        return [*texts, rest]
