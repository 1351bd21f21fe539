"""Where two specs differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """The smallest part that is not equal; None stands for a part that is not there."""

    path: str
    """spec.adapt.lora.rank, spec.pretrain.objectives[0].weight."""
    ours: Any
    theirs: Any


def differences(ours: Any, theirs: Any, path: str) -> Iterator[Difference]:
    """Differences of two JSON values; lists of different lengths differ as a whole."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from differences(ours.get(key), theirs.get(key), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(own, other, f"{path}[{index}]")
    elif ours != theirs:
        yield Difference(path, ours, theirs)
