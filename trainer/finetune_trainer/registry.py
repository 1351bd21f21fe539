"""Implementations by name: rows of `finetune_api.registries`, imported when they are used."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from finetune_api.registries import implemented
from finetune_api.registry_rows import Entry

T = TypeVar("T")


class Registry(Generic[T]):
    """The implementations of one kind of thing, each a `T`."""

    def __init__(self, package: str, kind: str, entries: Mapping[str, Entry]) -> None:
        """`package` is what relative implementations start from; `kind` is for messages: objective."""
        self._package = package
        self._kind = kind
        self._entries = entries

    def find(self, name: str) -> T:
        """The implementation of `name`.

        Raises:
            LookupError: if there is none; a plan that was checked (`finetune_api.support`) never asks for one.
        """
        entry = self._entries.get(name)
        if entry is None or entry.implementation is None:
            raise LookupError(f"there is no {self._kind} {name}, only {', '.join(implemented(self._entries))}")
        found: T = load(entry.implementation, self._package)
        return found


def load(implementation: str, package: str) -> Any:
    """Import `module:name`; a module that starts with a dot is relative to `package`."""
    module, _, name = implementation.partition(":")
    with quick_imports():
        return getattr(importlib.import_module(module, package), name)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without looking for garbage, of which imports leave none: an eighth of the time of torch's family."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
