"""A way of decoding: the second likeliest token, each time."""

from __future__ import annotations

from torch import Tensor

from finetune_api.decoding import Decoding
from finetune_trainer.decoding.rows import Rows, TokenIds
from finetune_trainer.decoding.searches.interface import PromptBatch, Search
from finetune_trainer.decoding.searches.tokenwise import continue_rows


class RunnerUp(Search):
    def __init__(self, decoding: Decoding) -> None:
        assert decoding.method == "RunnerUp"

    def run(self, rows: Rows, batch: PromptBatch) -> list[list[TokenIds]]:
        def second(logits: Tensor, _: Tensor, __: int) -> Tensor:
            return logits.topk(2).indices[:, 1]

        return continue_rows(rows, batch, second)
