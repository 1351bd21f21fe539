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
        BadConfiguration: if the tokenizer has no end-of-sequence token.
        LookupError: if a language has no English name; `finetune_api.refusals` tells it first.
    """
    return _registry.find(template)(tokenizer, direction)
