"""What a prompt template is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

TokenIds = npt.NDArray[np.int32]
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

    def prompt(self, source: TokenIds, example: tuple[TokenIds, TokenIds] | None = None) -> TokenIds:
        """Tokens up to where the answer to `source` begins; `example` is an input and its answer."""
        ...

    def target(self, target: TokenIds) -> TokenIds:
        """Tokens that the model has to produce: the answer and its end."""
        ...

    def length(self, source: Lengths, target: Lengths, example: Lengths | None = None) -> Lengths:
        """Tokens of prompt and target together, from the lengths of the texts; `example`: input plus answer."""
        ...

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer when decoding."""
        ...
