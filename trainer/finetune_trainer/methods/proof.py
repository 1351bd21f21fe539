"""Proofs that an artifact is what was trained: it differs from its base, and a merged adapter computes what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from finetune_trainer.errors import BadConfiguration, StageFailure
from finetune_trainer.models import ModelChoice, load_model, saved_dtype
from finetune_trainer.models.shards import weight_files

TokenIds = NDArray[np.int32]

TOLERANCE = {torch.float32: 1e-3}
"""Largest relative difference of logits (L2 norm), by the type of the merged weights."""
_TOLERANCE_OF_NARROW = 0.05
"""Of 16-bit weights: rounding a merged weight to 8 bits moves it by up to 0.4 %, and layers add that up."""


def check_changed(folder: Path, base: ModelChoice) -> None:
    """Refuse a model of `folder` whose weights all equal those of its base, in the type of the files.

    Raises:
        BadConfiguration: if none differs.
    """
    if not _differs(folder, base):
        raise BadConfiguration(
            "NothingLearned",
            "spec.adapt: every weight of the adapted model equals that of its base: the validation loss never fell "
            "below that of the base, no step was applied, or all changes are lost in rounding to "
            f"{str(saved_dtype(base.folder)).removeprefix('torch.')}",
            "See the curves (finetune dashboard): change optimizer.learningRate or epochs, or look at the data.",
        )


def _differs(folder: Path, base: ModelChoice) -> bool:
    """Whether any weight does; reads no more of both than up to the first that does."""
    ours, theirs = _tensors(folder), _tensors(base.folder)
    if not base.head.is_language_model or not ours.keys() & theirs.keys():  # a new head is in no file of the base
        state = load_model(base.folder, base.field, base.head).state_dict()
        theirs = {name: partial(state.__getitem__, name) for name in state}
    for name in sorted(ours.keys() & theirs.keys()):
        mine, other = ours[name](), theirs[name]()
        if mine.shape != other.shape or not torch.equal(mine, other.to(mine.dtype)):
            return True
    return False


def _tensors(folder: Path) -> dict[str, Callable[[], Tensor]]:
    """The weights of a model's safetensors files by name, each read when it is asked for."""
    found: dict[str, Callable[[], Tensor]] = {}
    for path in weight_files(folder):
        file = safe_open(path, "pt")
        found |= {name: partial(file.get_tensor, name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    return found


def merge_difference(adapted: nn.Module, merged: nn.Module, rows: Sequence[TokenIds]) -> float:
    """Largest relative difference of logits over `rows`: L2 norm of the difference / L2 norm of the adapter's."""
    differences = []
    with torch.no_grad():
        for row in rows:
            tokens = torch.from_numpy(np.asarray(row, np.int64))[None]
            expected, found = (model.eval()(input_ids=tokens).logits for model in (adapted, merged))
            differences.append(float((found - expected).norm() / expected.norm()))
    return max(differences, default=0.0)


def check_merge(difference: float, dtype: torch.dtype) -> None:
    """Refuse a merged model of type `dtype` whose logits differ by more than rounding explains.

    Raises:
        StageFailure: if they do.
    """
    tolerance = TOLERANCE.get(dtype, _TOLERANCE_OF_NARROW)
    if not difference <= tolerance:
        raise StageFailure(
            "MergeMismatch",
            f"logits of the merged model differ from those of base and adapter by {difference:.2g} of their norm; "
            f"rounding explains {tolerance:g}",
            "The adapter in the artifact's folder is not kept. Please report this with the manifest.",
        )
