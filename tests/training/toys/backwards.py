"""An objective: the texts of a source, read backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from finetune_api.data import DataSource
from finetune_api.training import Objective as ObjectiveSettings
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.objectives.interface import Arm, Batch, LossSum, Objective, Split
from finetune_trainer.objectives.next_token import Example, collate_sequences, next_token_loss
from finetune_trainer.objectives.pairs import TokenTexts


class Backwards(Objective):
    """One arm a language."""

    name = "Backwards"

    def arms(self, settings: ObjectiveSettings, source: DataSource, field: str) -> Sequence[Arm]:  # noqa: ARG002
        return [Arm(f"{settings.name}:{code}", settings, code, f"{code}←") for code in source.languages]

    def examples(self, arm: Arm, data: PreparedData, split: Split, longest: int) -> Reversed:
        return Reversed(data.texts(arm.settings.source, split, arm.variant).tokens, longest)

    def collate(self, rows: Sequence[Sequence[Example]], length: int, pad: int) -> Batch:
        return collate_sequences(self.name, rows, length, pad)

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        return next_token_loss(model, **inputs)


class Reversed:
    """Texts of at least two tokens that fit into a row."""

    def __init__(self, texts: TokenTexts, longest: int) -> None:
        self._texts = texts
        self._rows = np.flatnonzero((texts.lengths >= 2) & (texts.lengths <= longest))
        self.lengths: NDArray[np.int64] = np.asarray(texts.lengths, np.int64)[self._rows]
        self.loss_units: NDArray[np.int64] = self.lengths - 1

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Example:
        return Example(self._texts[int(self._rows[index])][::-1], 1)
