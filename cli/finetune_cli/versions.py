"""`finetune version`: what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from finetune_api.base import API_VERSION


def lines() -> Iterator[str]:
    """The command with its API, then each library that trains."""
    yield f"finetune {_installed('finetune-operator')}  API {API_VERSION}"
    for package in ("torch", "transformers", "peft", "deepspeed", "datasets", "sacrebleu"):
        yield f"{package} {_installed(package)}"


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
