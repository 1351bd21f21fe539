"""What a prompt template is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

TokenIds = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int64]


class Prompt(Protocol):
    """Composes prompts from tokens of " " + text without special tokens, as prepared data holds them."""

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
