"""From URIs to files."""

from __future__ import annotations

import os
from pathlib import Path

from finetune_api import labels
from finetune_api.data import DataSource, SourceFormat
from finetune_trainer.errors import BadConfiguration, BadData

ENDINGS: dict[str, SourceFormat] = {
    ".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "text",
    ".tmx": "tmx", ".po": "gettext", ".mo": "gettext", ".whl": "gettext", ".zip": "gettext", ".tar": "gettext",
    ".tgz": "gettext", ".tar.bz2": "gettext", ".tar.xz": "gettext",
}  # fmt: skip


def local_path(uri: str) -> Path:
    """The path that a file:// or pvc:// URI, or a plain path, names."""
    if uri.startswith(labels.CLAIM_SCHEME):
        return Path(labels.CLAIMS_MOUNT) / uri.removeprefix(labels.CLAIM_SCHEME)
    return Path(uri.removeprefix("file://"))


def model_folder(uri: str, field: str) -> Path:
    """The folder of a model or an encoder that `field` of the plan names.

    Raises:
        BadConfiguration: for a scheme that is not supported yet, or if no model is there.
    """
    scheme, separator, _ = uri.partition("://")
    if separator and scheme not in ("file", "pvc"):
        raise BadConfiguration(
            "NotSupported",
            f"{field}: {scheme}:// is not supported for models yet",
            "Download the model to a volume and use pvc:// or file://.",
        )
    folder = local_path(uri)
    if not (folder / "config.json").is_file():
        raise BadConfiguration(
            "ModelNotFound",
            f"{field}: {folder} is not a model folder: it has no config.json",
            "Name a folder with config.json, model.safetensors and the tokenizer's files.",
        )
    for path in sorted(folder.iterdir()):
        if path.is_file() and not os.access(path, os.R_OK):
            raise BadConfiguration(
                "ModelNotReadable",
                f"{field}: no permission to read {path}",
                f"Allow it, for example with chmod a+r; the trainer runs as user {os.getuid()}.",
            )
    return folder


def format_of(source: DataSource) -> SourceFormat:
    """The source's format: as given, or by the ending of its name.

    Raises:
        BadConfiguration: if the ending says nothing.
    """
    if source.format is not None:
        return source.format
    if source.uri.startswith("hf://"):
        return "huggingface"
    if "{lang}" in source.uri:
        return "moses"
    name = source.uri.removesuffix(".gz")
    for ending, format_ in ENDINGS.items():
        if name.endswith(ending):
            return format_
    raise BadConfiguration(
        "UnknownFormat",
        f"source '{source.name}': the name {source.uri} does not tell the format",
        f"Give format: one of {', '.join(dict.fromkeys(ENDINGS.values()))}, moses, huggingface.",
    )


def source_files(source: DataSource) -> list[Path]:
    """All files of a source; one per language for moses pairs.

    Raises:
        BadData: if one is missing or may not be read.
    """
    languages = source.languages if "{lang}" in source.uri else [""]
    paths = [local_path(source.uri.replace("{lang}", language)) for language in languages]
    for path in paths:
        if not path.exists():
            raise BadData("SourceNotFound", f"source '{source.name}': {path} does not exist", "Correct its uri.")
        if not os.access(path, os.R_OK):
            raise BadData("SourceNotReadable", f"source '{source.name}': no permission to read {path}", "Allow it.")
    return paths
