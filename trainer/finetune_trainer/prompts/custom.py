"""The user's own text (`prompts.text`, `prompts.example`)."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.composed import ComposedPrompt, parts_of_text


class CustomPrompt(ComposedPrompt):
    """A text with placeholders; `finetune_api.refusals` has looked at it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, direction: str, settings: Prompts) -> None:
        """See ComposedPrompt.

        Raises:
            BadConfiguration: also if there is no text.
        """
        if settings.text is None:
            raise BadConfiguration("NoPromptText", "spec.adapt.prompts.text: Custom needs it", "Give the text.")
        super().__init__(tokenizer, parts_of_text(settings.text, settings.example, direction))
