"""What a prompt template is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

TokenIds = npt.NDArray[np.int32]
ExampleIds = tuple[TokenIds, TokenIds]
"""An input and its answer."""
Lengths = npt.NDArray[np.int64]


class Prompt(Protocol):
    """Composes prompts from tokens of texts, by default of " " + text as prepared data holds them."""

    source_lead: str = " "
    """What stands before a source and is encoded with it: a blank, or nothing after a line break."""
    target_lead: str = " "
    """The same of a target."""

    def source_text(self, text: str) -> str:
        """What stands in the place of a source: the text, and what a prompt says of it."""
        return text

    @property
    def reads_prepared_tokens(self) -> bool:
        """Whether the tokens of prepared data are those that it needs."""
        leads = self.source_lead == self.target_lead == " "
        return leads and type(self).source_text is Prompt.source_text

    def answer(self, text: str) -> str:
        """The answer in what a model has produced: its first line."""
        return text.partition("\n")[0]

    def prompt(self, source: TokenIds, examples: Sequence[ExampleIds] = ()) -> TokenIds:
        """Tokens up to where the answer to `source` begins, after the examples in their order."""
        ...

    def target(self, target: TokenIds) -> TokenIds:
        """Tokens that the model has to produce: the answer and its end."""
        ...

    def length(self, source: Lengths, target: Lengths, examples: Lengths | int = 0, shots: int = 0) -> Lengths:
        """Tokens of prompt and target together, from the lengths of the texts.

        Args:
            source: tokens of each source.
            target: tokens of each target.
            examples: tokens of all examples of each prompt, inputs plus answers.
            shots: how many examples each prompt has.
        """
        ...

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer when decoding."""
        ...
