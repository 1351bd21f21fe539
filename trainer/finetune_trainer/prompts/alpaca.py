"""Prompts of instruction tuning: Alpaca's, ParroT's with its hint (Jiao et al. 2023), TIM's (Zeng et al. 2024).

An answer begins on the line after the heading of the response. A hint is that of a good translation, for the pairs of a
corpus are good ones; pairs of a better and a worse translation, and marked errors, have no source yet.
"""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_trainer.prompts.composed import ComposedPrompt, parts_of_text

_BEGIN = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
_INSTRUCTION = "Translate the following text from {source_language} to {target_language}."
_INPUT = f"### Instruction:\n{_INSTRUCTION}\n\n### Input:\n{{source}}\n\n"
_HINT = "### Hint: A translation with no errors could be\n\n"
_RESPONSE = "### Response:\n{target}"
_NOTE = "###Note: A translation with no errors could be"


class _InstructionPrompt(ComposedPrompt):
    begin = ""
    pair = ""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, direction: str, _: Prompts | None = None) -> None:
        """See ComposedPrompt."""
        super().__init__(
            tokenizer, parts_of_text(f"{self.begin}{{examples}}{self.pair}", f"{self.pair}\n\n", direction)
        )


class AlpacaPrompt(_InstructionPrompt):
    """Instruction, input, response."""

    begin, pair = _BEGIN, _INPUT + _RESPONSE


class ParrotPrompt(_InstructionPrompt):
    """Instruction, input, the hint of an error-guided translation without errors, response."""

    begin, pair = _BEGIN, _INPUT + _HINT + _RESPONSE


class TimPrompt(_InstructionPrompt):
    """Request with the note of a translation without errors, response."""

    pair = f"### Request:\n{_INSTRUCTION}\n{{source}}\n\n{_NOTE}\n\n{_RESPONSE}"
