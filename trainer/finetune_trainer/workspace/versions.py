"""Versions of what a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata

_LIBRARIES = ("finetune-operator", "torch", "transformers", "tokenizers", "peft", "deepspeed", "faiss-cpu", "sacrebleu")


def library_versions() -> dict[str, str]:
    """Version by library that is installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def versions() -> dict[str, str]:
    """Of Python and of the libraries."""
    return {"python": platform.python_version()} | library_versions()
