"""Prompts, as tokens: a new template is one file and its row in `finetune_api.registries.PROMPTS`."""

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_api.registries import PROMPTS
from finetune_trainer.prompts.interface import Prompt, TokenIds
from finetune_trainer.prompts.segments import encode_texts
from finetune_trainer.registry import Registry

__all__ = ["Prompt", "TokenIds", "create_prompt", "encode_texts"]

DEFAULTS = Prompts()
_registry: Registry[Callable[[PreTrainedTokenizerBase, str, Prompts], Prompt]] = Registry(__name__, "template", PROMPTS)


def create_prompt(
    template: str, tokenizer: PreTrainedTokenizerBase, direction: str, settings: Prompts = DEFAULTS
) -> Prompt:
    """The prompts of one template and one direction, source first: en-es.

    `settings` has what a template needs beside its name: a text, a dictionary.

    Raises:
        BadConfiguration: if the tokenizer has no end-of-sequence token, or not what the template needs.
        LookupError: if a language has no English name; `finetune_api.refusals` tells it first.
    """
    return _registry.find(template)(tokenizer, direction, settings)
