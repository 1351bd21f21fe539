"""Conversations, as tokens: a new template is one file and its row in `finetune_api.registries.CONVERSATIONS`."""

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from finetune_api.registries import CONVERSATIONS
from finetune_trainer.prompts.chat_template import usual_template
from finetune_trainer.prompts.conversations.interface import Conversations, EncodedConversation
from finetune_trainer.registry import Registry

__all__ = ["Conversations", "EncodedConversation", "create_conversations"]

_registry: Registry[Callable[[PreTrainedTokenizerBase], Conversations]] = Registry(
    __name__, "template of conversations", CONVERSATIONS
)


def create_conversations(template: str | None, tokenizer: PreTrainedTokenizerBase) -> Conversations:
    """The conversations of one template; None: Chat where the tokenizer has a chat template, else Plain.

    Raises:
        BadConfiguration: if the tokenizer has no end-of-sequence token, or not what the template needs.
    """
    return _registry.find(template or usual_template(tokenizer))(tokenizer)
