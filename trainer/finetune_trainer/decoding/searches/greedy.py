"""The likeliest token, each time."""

from __future__ import annotations

from finetune_api.decoding import Decoding
from finetune_trainer.decoding.rows import Rows, TokenIds
from finetune_trainer.decoding.searches.interface import PromptBatch, Search
from finetune_trainer.decoding.searches.tokenwise import continue_rows, greedily


class Greedy(Search):
    """Greedy decoding."""

    def __init__(self, _: Decoding) -> None:
        """There is nothing to set."""

    def run(self, rows: Rows, batch: PromptBatch) -> list[list[TokenIds]]:
        """See Search."""
        return continue_rows(rows, batch, greedily)
