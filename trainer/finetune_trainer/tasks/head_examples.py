"""Examples of models with heads; shared by tasks whose objectives are those of a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from finetune_api.adapt import Adapt
from finetune_trainer.objectives.padded import IGNORED, HeadExample
from finetune_trainer.tasks.interface import TrainingData, empty_training_split


class HeadExamples:
    """Examples with their lengths and loss units (ExampleSet)."""

    def __init__(self, examples: Sequence[HeadExample]) -> None:
        self._examples = examples
        self.lengths: NDArray[np.int64] = np.array([len(e.tokens) for e in examples], np.int64)
        self.loss_units: NDArray[np.int64] = np.array([(e.target != IGNORED).sum() for e in examples], np.int64)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> HeadExample:
        return self._examples[index]


def training_data_of(
    adapt: Adapt,
    objective: str,
    train: Sequence[HeadExample],
    validation: Sequence[HeadExample],
    counts: Mapping[str, float],
) -> TrainingData:
    """What adaptation is given; `counts` are figures beside the number of examples.

    Raises:
        BadData: if there is nothing to train on.
    """
    if not train:
        raise empty_training_split(adapt.task.source)
    return TrainingData(
        name=adapt.task.source,
        objective=objective,
        train=HeadExamples(train),
        validation={"labels": HeadExamples(validation)} if validation else {},
        counts={"examples": len(train), **counts},
    )
