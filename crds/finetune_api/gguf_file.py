"""The header of a GGUF file: its metadata, and which tensors it holds. Version 2 and 3, little-endian.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Weights are not read.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIX = ".gguf"
CHAT_TEMPLATE = "tokenizer.chat_template"
"""Key of the metadata."""
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Format of `struct` by number of a value's type."""
_DEFAULT_ALIGNMENT = 32
_MOST_DIMENSIONS = 4


class GgufError(ValueError):
    """A file that is no GGUF, or not a whole one; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Where one tensor is, and how it is stored."""

    name: str
    shape: tuple[int, ...]
    """As in NumPy: the last dimension is contiguous."""
    type_number: int
    """Of `ggml_type`."""
    offset: int
    """Of its first byte in the file."""


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What a header says."""

    metadata: Mapping[str, Any]
    """By key: `general.architecture`, `llama.block_count`, `tokenizer.ggml.tokens` and so on."""
    tensors: Mapping[str, GgufTensor]


def is_gguf(path: Path) -> bool:
    """Whether a path names one GGUF file, by its name."""
    return path.suffix.lower() == SUFFIX


def read_gguf(path: Path) -> GgufFile:
    """Read the header of a GGUF file; 49,152 tokens and as many merges take a tenth of a second.

    Raises:
        GgufError: if it is no GGUF file, or ends too early.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise GgufError("it does not begin as a GGUF file does")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _read_header(_Cursor(data))
            except (struct.error, OverflowError):
                raise GgufError("it ends within its header: the copy may be incomplete") from None
            except UnicodeDecodeError:
                raise GgufError("a text of its header is not UTF-8") from None


class _Cursor:
    """Reads values one after the other."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.position = len(_MAGIC)

    def numbers(self, form: str, count: int = 1) -> tuple[Any, ...]:
        size = struct.calcsize(f"<{form}") * count
        if count < 0 or self.position + size > len(self._data):
            raise struct.error
        values = struct.unpack_from(f"<{count}{form}", self._data, self.position)
        self.position += size
        return values

    def number(self, form: str) -> Any:
        return self.numbers(form)[0]

    def text(self) -> str:
        length = self.number("Q")
        start, self.position = self.position, self.position + length
        if self.position > len(self._data):
            raise struct.error
        return self._data[start : self.position].decode()

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            element, count = self.number("I"), self.number("Q")
            if element in _SCALARS:
                return list(self.numbers(_SCALARS[element], count))
            return [self.value(element) for _ in range(count)]
        if kind not in _SCALARS:
            raise GgufError(f"its header has a value of the unknown type {kind}")
        return self.number(_SCALARS[kind])


def _read_header(cursor: _Cursor) -> GgufFile:
    version = cursor.number("I")
    if version not in _VERSIONS:
        raise GgufError(f"its version is {version}; versions 2 and 3, little-endian, are read")
    tensors, values = cursor.numbers("Q", 2)
    metadata = {cursor.text(): cursor.value(cursor.number("I")) for _ in range(values)}
    found = [_read_tensor(cursor) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise GgufError(f"general.alignment is {alignment}")
    start = -(-cursor.position // alignment) * alignment
    return GgufFile(
        metadata, {name: GgufTensor(name, shape, kind, start + offset) for name, shape, kind, offset in found}
    )


def _read_tensor(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, type and offset within the data. GGUF writes the contiguous dimension first."""
    name, dimensions = cursor.text(), cursor.number("I")
    if dimensions > _MOST_DIMENSIONS:
        raise GgufError(f"the tensor {name} has {dimensions} dimensions")
    shape = cursor.numbers("Q", dimensions)
    return name, tuple(reversed(shape)), cursor.number("I"), cursor.number("Q")
