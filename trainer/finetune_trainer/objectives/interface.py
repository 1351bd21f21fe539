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
    """Examples of one forward pass, and the objective that knows what its inputs mean."""

    objective: str
    inputs: Mapping[str, Any]
    """What `Objective.loss` takes beside the model: tensors, and facts that the host must know."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(self.objective, {name: _to(value, device) for name, value in self.inputs.items()})

    def pinned(self) -> Batch:
        """The same batch in page-locked memory."""
        return Batch(
            self.objective, {k: v.pin_memory() if isinstance(v, Tensor) else v for k, v in self.inputs.items()}
        )


def _to(value: Any, device: torch.device) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


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
    is_padded: ClassVar[bool] = False
    """Whether its batches are rows of one example each, filled up, in which every token sees every other one."""

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

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        """The summed loss of a batch; `inputs` are those of `collate`.

        The calls of the model's layers depend on shapes alone, so that all ranks run the same collectives.
        """
        ...
