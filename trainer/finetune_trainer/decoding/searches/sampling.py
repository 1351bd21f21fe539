"""Each token is drawn by its probability."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from finetune_api.decoding import Decoding
from finetune_trainer.decoding.rows import Rows, TokenIds
from finetune_trainer.decoding.searches.interface import PromptBatch, Search
from finetune_trainer.decoding.searches.tokenwise import continue_rows


class Sampling(Search):
    """Sampling with a temperature, from the nucleus (Holtzman et al. 2020) if `topP` is less than 1."""

    def __init__(self, decoding: Decoding) -> None:
        """`samples` of each prompt, where the method has them, else one."""
        self._temperature, self._top_p = decoding.temperature or 1.0, decoding.top_p or 1.0
        self._seed = decoding.seed or 0
        self.rows_per_prompt = decoding.samples or 1

    def run(self, rows: Rows, batch: PromptBatch) -> list[list[TokenIds]]:
        """See Search: the samples in the order in which they are drawn."""
        samples, longest = self.rows_per_prompt, max(batch.rooms)
        numbers = [
            np.pad(uniform_numbers(prompt, self._seed, samples, room), ((0, 0), (0, longest - room)))
            for prompt, room in zip(batch.prompts, batch.rooms, strict=True)
        ]
        uniform = torch.from_numpy(np.concatenate(numbers)).to(batch.device)  # (rows, longest output)

        def choose(logits: Tensor, row: Tensor, length: int) -> Tensor:
            return draw(logits / self._temperature, uniform[row, length], self._top_p)

        return continue_rows(rows, batch, choose, samples)


def uniform_numbers(prompt: TokenIds, seed: int, samples: int, length: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1), (samples, length), that depend on the prompt itself, not on its place in a test set."""
    digest = blake2b(np.ascontiguousarray(prompt, np.int32).tobytes(), digest_size=16).digest()
    generator = np.random.default_rng([seed, int.from_bytes(digest, "little")])
    return generator.random((samples, length))


def draw(logits: Tensor, uniform: Tensor, top_p: float) -> Tensor:
    """Tokens (R,) by the inverse of the distribution function, from logits (R, vocabulary) and numbers in [0, 1) (R,).

    With `top_p` less than 1 only the fewest likeliest tokens that reach this probability together can be drawn.
    """
    probabilities = logits.double().softmax(-1)
    order = None
    if top_p < 1.0:
        probabilities, order = probabilities.sort(dim=-1, descending=True, stable=True)
        probabilities[probabilities.cumsum(-1) - probabilities >= top_p] = 0.0
    reached = probabilities.cumsum(-1)
    place = torch.searchsorted(reached, (uniform[:, None] * reached[:, -1:]).contiguous(), right=True)
    # A product that is rounded up would lie behind the last token that can be drawn.
    place = torch.minimum(place, torch.searchsorted(reached, reached[:, -1:].contiguous()))
    return (place if order is None else order.gather(-1, place))[:, 0]
