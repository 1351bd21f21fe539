"""Memory-mapped columns: token ids with offsets, and texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MAX_16_BIT = 1 << 16
Number = TypeVar("Number", np.uint16, np.uint32, np.int64)


class TokenColumn:
    """Tokenised texts, one after the other in one flat memory map."""

    def __init__(self, ids: NDArray[np.uint16] | NDArray[np.uint32], offsets: NDArray[np.int64]) -> None:
        """`offsets` has one entry more than there are texts; text i is `ids[offsets[i]:offsets[i + 1]]`."""
        self.ids = ids
        self.offsets = offsets
        self.lengths: NDArray[np.int64] = np.diff(offsets)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[index] : self.offsets[index + 1]].astype(np.int32)

    @classmethod
    def open(cls, folder: Path, language: str) -> TokenColumn:
        """Map the column of a language."""
        offsets = _map(folder / f"{language}.offsets.bin", np.int64)
        wide = folder / f"{language}.ids32.bin"
        if wide.exists():
            return cls(_map(wide, np.uint32), offsets)
        return cls(_map(folder / f"{language}.ids16.bin", np.uint16), offsets)


def _map(path: Path, dtype: type[Number]) -> NDArray[Number]:
    """A file of no bytes cannot be mapped."""
    return np.memmap(path, dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype)


def write_token_column(
    folder: Path, language: str, batches: Iterable[Sequence[Sequence[int]]], vocabulary_size: int
) -> int:
    """Write the encodings of all texts, batch by batch; returns the number of tokens."""
    is_small = vocabulary_size <= MAX_16_BIT
    dtype = np.dtype(np.uint16 if is_small else np.uint32)
    total = 0
    with (
        (folder / f"{language}.ids{16 if is_small else 32}.bin").open("wb") as ids,
        (folder / f"{language}.offsets.bin").open("wb") as offsets,
    ):
        offsets.write(np.zeros(1, np.int64).tobytes())
        for batch in batches:
            lengths = np.fromiter((len(tokens) for tokens in batch), np.int64, len(batch))
            flat = np.fromiter(chain.from_iterable(batch), dtype, int(lengths.sum()))
            ids.write(flat.tobytes())
            offsets.write((total + np.cumsum(lengths)).tobytes())
            total += int(lengths.sum())
    return total


class TextColumn(Sequence[str]):
    """Texts in a memory-mapped Arrow file."""

    def __init__(self, values: pa.ChunkedArray) -> None:
        """`values` holds strings."""
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            selected: list[str] = self._values[index].to_pylist()
            return selected
        text: str = self._values[int(index)].as_py()
        return text
