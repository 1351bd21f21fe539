"""Rows of one example each, filled up to the longest: what objectives of models with a head share.

Every token of an example sees every other one, so examples share no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune_api.data import DataSource
from finetune_api.training import Objective as ObjectiveSettings
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.objectives.interface import Arm, Batch, ExampleSet, Objective, Split, Tokens

IGNORED = -100
"""Target of what carries no loss."""


@dataclass(frozen=True, slots=True)
class PaddedRow:
    """One example as the model is given it."""

    tokens: Tokens
    types: Tokens | None = None
    """(tokens,): of which of two texts each token is, where the model wants to know."""


@dataclass(frozen=True, slots=True)
class HeadExample:
    """A row, and what its head should say."""

    row: PaddedRow
    target: NDArray[np.int64]
    """Numbers in the shape that the objective names; `IGNORED` where there is no loss."""

    @property
    def tokens(self) -> Tokens:
        """Of the row."""
        return self.row.tokens


class PaddedObjective(Objective):
    """What trains the head of a task, and is no arm of pre-training."""

    is_padded = True
    shape_without_examples: ClassVar[tuple[int, ...]] = ()
    """Of the target of an empty row in a batch of such rows alone."""

    def collate(self, rows: Sequence[Sequence[HeadExample]], length: int, pad: int) -> Batch:  # noqa: ARG002 - rows are as long as the longest of them
        """See Objective: beside the model's inputs `targets`, (rows, *longest target) int64, filled up by `IGNORED`."""
        examples = [row[0] if row else None for row in rows]
        shapes = [example.target.shape for example in examples if example is not None]
        targets = np.full((len(rows), *max(shapes, default=self.shape_without_examples)), IGNORED, np.int64)
        for place, example in enumerate(examples):
            if example is not None:
                there: tuple[int | slice, ...] = (place, *(slice(size) for size in example.target.shape))
                targets[there] = example.target
        inputs = padded_inputs([None if example is None else example.row for example in examples], pad)
        return Batch(self.name, inputs | {"targets": torch.from_numpy(targets)})

    def arms(self, settings: ObjectiveSettings, source: DataSource, field: str) -> Sequence[Arm]:  # noqa: ARG002 - see Objective
        """See Objective: refused."""
        raise BadConfiguration(
            "NotSupported",
            f"{field}: {self.name} trains the head of a task, and pre-training has none",
            "Use an adapt block with a task of that kind.",
        )

    def examples(self, arm: Arm, data: PreparedData, split: Split, longest: int) -> ExampleSet[Any]:  # noqa: ARG002 - see Objective
        """See Objective: there is no arm."""
        raise TypeError(f"{self.name} has no arms")


def padded_inputs(rows: Sequence[PaddedRow | None], pad: int) -> dict[str, Tensor]:
    """Arguments of a model's forward pass: each (rows, longest) int64, filled up with `pad` behind.

    A row that is None is one token of padding, which attends to itself: no layer computes of nothing.
    """
    width = max([1, *(len(row.tokens) for row in rows if row is not None)])
    input_ids = torch.full((len(rows), width), pad, dtype=torch.int64)
    attention_mask = torch.zeros((len(rows), width), dtype=torch.int64)
    types = torch.zeros((len(rows), width), dtype=torch.int64)
    for place, row in enumerate(rows):
        length = 1 if row is None else len(row.tokens)
        attention_mask[place, :length] = 1
        if row is not None:
            input_ids[place, :length] = torch.from_numpy(row.tokens)
            if row.types is not None:
                types[place, :length] = torch.from_numpy(row.types)
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    has_types = any(row is not None and row.types is not None for row in rows)
    return inputs | {"token_type_ids": types} if has_types else inputs
