"""What an objective is: examples, the tensors of a forward pass, and a loss before it is averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune_api.data import DataSource
from finetune_api.training import Objective as ObjectiveSettings
from finetune_trainer.data.prepared import PreparedData

Tokens = NDArray[np.int32]
Split = Literal["train", "validation"]
Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of the mixture."""

    name: str
    """The objective's name in the manifest; with its variant, where the objective has several arms."""
    settings: ObjectiveSettings
    variant: str
    """What tells the arms of an objective apart: a language, a direction."""
    label: str
    """Short form for people: en, en→es."""


class ExampleSet(Protocol[Item_co]):
    """Examples by index, with their lengths known beforehand; all lengths are at most a row's."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        ...

    @property
    def loss_units(self) -> NDArray[np.int64]:
        """What each example adds to the divisor of the loss: its target tokens, one for a label."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item_co: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one forward pass: named tensors, and the objective that knows what they mean."""

    objective: str
    tensors: Mapping[str, Tensor]
    """(rows, ...) each."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(self.objective, {name: t.to(device, non_blocking=True) for name, t in self.tensors.items()})


@dataclass(frozen=True, slots=True)
class LossSum:
    """A loss before it is averaged."""

    loss_sum: Tensor
    """Scalar, float32: sum over the loss units (nats, for token losses)."""
    loss_units: Tensor
    """Scalar, int64: how many there are."""


class Objective(Protocol):
    """One kind of arm. Stateless."""

    name: ClassVar[str]
    """Its row in `finetune_api.registries.OBJECTIVES`."""

    def arms(self, settings: ObjectiveSettings, source: DataSource, field: str) -> Sequence[Arm]:
        """The arms that one entry of pretrain.objectives stands for; they share its weight.

        Raises:
            BadConfiguration: if settings and source do not go together; `field` is where the entry stands.
        """
        ...

    def examples(self, arm: Arm, data: PreparedData, split: Split, longest: int) -> ExampleSet[Any]:
        """The examples of an arm, none longer than `longest` tokens."""
        ...

    def collate(self, rows: Sequence[Sequence[Any]], length: int, pad: int) -> Batch:
        """Rows of `length` tokens, each with its examples one after the other, filled up with `pad`."""
        ...

    def loss(self, model: nn.Module, **tensors: Tensor) -> LossSum:
        """The summed loss of a batch; `tensors` are those of `collate`.

        The calls of the model's layers depend on shapes alone, so that all ranks run the same collectives.
        """
        ...
