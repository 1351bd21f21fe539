"""The prompt of ALMA (Xu et al. 2024): an instruction, then a line of each language."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_trainer.prompts.composed import ComposedPrompt, parts_of_text

_PAIR = (
    "Translate this from {source_language} into {target_language}:\n"
    "{source_language}: {source}\n{target_language}: {target}"
)


class AlmaPrompt(ComposedPrompt):
    """`Translate this from German into English:`; examples stand in front in the same form."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, direction: str, _: Prompts | None = None) -> None:
        """See ComposedPrompt."""
        super().__init__(tokenizer, parts_of_text("{examples}" + _PAIR, _PAIR + "\n", direction))
