"""From URIs to paths on this machine: the one place that knows schemes."""

from __future__ import annotations

import os
from pathlib import Path

from finetune_api.pretrained import adapter_problem
from finetune_api.registries import STORES, implemented
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.workspace.stores import stores


def local_path(uri: str, field: str) -> Path:
    """The file or folder that a URI, or a plain path, names; whether it exists is the caller's to find out.

    Args:
        uri: such as pvc://corpora/news.tsv.
        field: what names it, for messages.

    Raises:
        BadConfiguration: NotSupported, for a scheme that has no store yet.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Path(uri)
    if scheme not in implemented(STORES):
        usable = " or ".join(f"{name}://" for name in implemented(STORES))
        raise BadConfiguration(
            "NotSupported", f"{field}: {scheme}:// is not supported yet", f"Copy it to a volume and use {usable}."
        )
    return stores.find(scheme)(rest)


def model_folder(uri: str, field: str) -> Path:
    """The folder of a model or an encoder that `field` of the plan names.

    Raises:
        BadConfiguration: for a scheme that is not supported yet, or if no model is there.
    """
    folder = local_path(uri, field)
    adapter = adapter_problem(folder, f"{field}.uri")
    if adapter is not None:
        raise BadConfiguration(adapter.reason, f"{adapter.field}: {adapter.message}", "Correct the manifest.")
    if not (folder / "config.json").is_file():
        raise BadConfiguration(
            "ModelNotFound",
            f"{field}: {folder} is not a model folder: it has no config.json",
            "Name a folder with config.json, model.safetensors and the tokenizer's files, or one GGUF file.",
        )
    for path in sorted(folder.iterdir()):
        if path.is_file() and not os.access(path, os.R_OK):
            raise BadConfiguration(
                "ModelNotReadable",
                f"{field}: no permission to read {path}",
                f"Allow it, for example with chmod a+r; the trainer runs as user {os.getuid()}.",
            )
    return folder
