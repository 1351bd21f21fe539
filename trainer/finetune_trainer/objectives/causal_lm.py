"""CausalLM: plain text, each token predicted from those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from finetune_api.data import DataSource
from finetune_api.training import Objective as ObjectiveSettings
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.objectives.checks import require_language
from finetune_trainer.objectives.interface import Arm, Batch, LossSum, Objective, Split
from finetune_trainer.objectives.next_token import Example, collate_sequences, next_token_loss
from finetune_trainer.objectives.pairs import TokenTexts


class CausalLM(Objective):
    """Texts of one language."""

    name = "CausalLM"

    def arms(self, settings: ObjectiveSettings, source: DataSource, field: str) -> Sequence[Arm]:
        """See Objective: one arm, of the language given or of the source's only one."""
        if settings.language is None and len(source.languages) > 1:
            raise BadConfiguration(
                "LanguageMissing",
                f"{field}.language: source {source.name} has {' and '.join(source.languages)}; say which side",
                f"Add language: {source.languages[0]}.",
            )
        language = settings.language or source.languages[0]
        require_language(language, source, f"{field}.language")
        return [Arm(settings.name, settings, language, settings.name)]

    def examples(self, arm: Arm, data: PreparedData, split: Split, longest: int) -> Documents:
        """See Objective."""
        texts = data.texts(arm.settings.source, split, arm.variant)
        return Documents(texts.tokens, data.bos_id, data.eos_id, longest)

    def collate(self, rows: Sequence[Sequence[Example]], length: int, pad: int) -> Batch:
        """See Objective."""
        return collate_sequences(self.name, rows, length, pad)

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        """See Objective."""
        return next_token_loss(model, **inputs)


class Documents:
    """Beginning of sequence, text, end of sequence; long texts in several pieces.

    Every piece begins with the beginning-of-sequence token; only the last ends with the end-of-sequence token.
    """

    def __init__(self, texts: TokenTexts, bos: int, eos: int, longest: int) -> None:
        self._texts = texts
        self._bos = np.array([bos], dtype=np.int32)
        self._eos = np.array([eos], dtype=np.int32)
        self._piece = longest - 1  # text (and end) tokens of a piece
        with_end = np.asarray(texts.lengths, dtype=np.int64) + 1
        pieces = -(-with_end // self._piece)
        self._one_each = bool((pieces == 1).all())
        if self._one_each:
            self._lengths = with_end + 1
            return
        self._owner = np.repeat(np.arange(len(with_end), dtype=np.int64), pieces)
        self._number = np.arange(len(self._owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self._lengths = np.minimum(with_end[self._owner] - self._number * self._piece, self._piece) + 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._lengths

    @property
    def loss_units(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._lengths - 1

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, index: int) -> Example:
        owner, number = (index, 0) if self._one_each else (int(self._owner[index]), int(self._number[index]))
        text = self._texts[owner]
        start = number * self._piece
        if start + self._piece > len(text):  # the piece with the end
            return Example(np.concatenate((self._bos, text[start:], self._eos)), 1)
        return Example(np.concatenate((self._bos, text[start : start + self._piece])), 1)
