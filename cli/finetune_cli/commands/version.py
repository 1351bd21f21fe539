"""`finetune version`."""

from __future__ import annotations

from importlib import metadata

from finetune_api.base import API_VERSION


def version() -> None:
    """Versions of finetune, of its API and of the libraries that train."""
    print(f"finetune {_installed('finetune-operator')}  API {API_VERSION}")
    for package in ("torch", "transformers", "peft", "deepspeed", "datasets", "sacrebleu"):
        print(f"{package} {_installed(package)}")


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
