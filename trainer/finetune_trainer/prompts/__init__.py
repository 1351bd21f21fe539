"""Prompts, as tokens: a new template is one file and its row in `finetune_api.registries.PROMPTS`."""

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from finetune_api.registries import PROMPTS
from finetune_trainer.prompts.interface import Prompt, TokenIds
from finetune_trainer.registry import Registry

__all__ = ["Prompt", "TokenIds", "create_prompt"]

_registry: Registry[Callable[[PreTrainedTokenizerBase, str], Prompt]] = Registry(__name__, "template", PROMPTS)


def create_prompt(template: str, tokenizer: PreTrainedTokenizerBase, direction: str) -> Prompt:
    """The prompts of one template and one direction, source first: en-es.

    Raises:
        BadConfiguration: if a language has no name or the tokenizer no end-of-sequence token.
    """
    return _registry.find(template)(tokenizer, direction)
