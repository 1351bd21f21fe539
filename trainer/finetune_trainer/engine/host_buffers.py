"""Copies of tensors in host memory, so that a file can be written while training goes on."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor


class HostBuffers:
    """Host memory for one snapshot; the next one overwrites it.

    So the memory is bounded by one snapshot, and only the first one pays for new pages, which takes several times as
    long as the copy itself.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def copy(self, tree: Any) -> Any:
        """A copy of nested dicts, lists and tuples with every tensor on the CPU; what is neither stays what it is.

        A tensor that occurs twice is copied once. Returns when all copies are done.
        """
        seen: dict[Any, Tensor] = {}
        used: set[str] = set()
        copied = self._copy(tree, "", seen, used)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        for path in self._buffers.keys() - used:
            del self._buffers[path]
        return copied

    def copy_tensor(self, name: str, tensor: Tensor) -> Tensor:
        """A copy of one tensor on the CPU, contiguous; the next one of that name overwrites it."""
        buffer = self._buffer(name, tensor)
        buffer.copy_(tensor.detach())
        return buffer

    def _copy(self, tree: Any, path: str, seen: dict[Any, Tensor], used: set[str]) -> Any:
        if isinstance(tree, Tensor):
            place = (tree.data_ptr(), tree.dtype, tree.shape, tree.stride(), tree.device)
            if place not in seen or not tree.numel():
                used.add(path)
                seen[place] = self._buffer(path, tree)
                seen[place].copy_(tree.detach(), non_blocking=True)
            return seen[place]
        if isinstance(tree, dict):
            return {key: self._copy(value, f"{path}/{key}", seen, used) for key, value in tree.items()}
        if type(tree) in (list, tuple):
            return type(tree)(self._copy(value, f"{path}/{index}", seen, used) for index, value in enumerate(tree))
        return tree

    def _buffer(self, path: str, like: Tensor) -> Tensor:
        buffer = self._buffers.get(path)
        if buffer is None or buffer.shape != like.shape or buffer.dtype != like.dtype:
            buffer = self._buffers[path] = _allocate(like)
        return buffer


def _allocate(like: Tensor) -> Tensor:
    buffer = torch.empty(like.shape, dtype=like.dtype)
    if like.is_cuda and buffer.nbytes:
        # Pinned, or the copy from the device runs at a tenth of the bus. Not by torch's allocator, which rounds up to a
        # power of two. A machine that cannot pin so much copies more slowly.
        runtime, address = torch.cuda.cudart(), buffer.data_ptr()
        runtime.cudaHostRegister(address, buffer.nbytes, 0)
        weakref.finalize(buffer, runtime.cudaHostUnregister, address)
    return buffer
