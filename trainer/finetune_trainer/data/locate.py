"""The files and the format of a source."""

from __future__ import annotations

import os
from pathlib import Path

from finetune_api.data import DataSource
from finetune_api.registries import SOURCE_FORMATS, implemented
from finetune_trainer.data.compression import without_compression
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.workspace.storage import local_path


def format_of(source: DataSource) -> str:
    """The source's format: as given, or by the ending of its name.

    Raises:
        BadConfiguration: if the ending is not one of a format.
    """
    if source.format is not None:
        return source.format
    if source.uri.startswith("hf://"):
        return "huggingface"
    if "{lang}" in source.uri:
        return "moses"
    name = without_compression(source.uri.lower())
    for format_, entry in SOURCE_FORMATS.items():
        if name.endswith(entry.endings):
            return format_
    raise BadConfiguration(
        "UnknownFormat",
        f"source '{source.name}': the name {source.uri} does not tell the format",
        f"Give format: one of {', '.join(implemented(SOURCE_FORMATS))}.",
    )


def source_path(source: DataSource) -> Path:
    """The file or folder that the source's uri names.

    Raises:
        BadConfiguration: if its scheme is not supported.
    """
    return local_path(source.uri, f"source '{source.name}'")


def source_files(source: DataSource) -> list[Path]:
    """All files of a source; one per language for moses pairs.

    Raises:
        BadData: if one is missing or may not be read.
    """
    languages = source.languages if "{lang}" in source.uri else [""]
    paths = [Path(str(source_path(source)).replace("{lang}", language)) for language in languages]
    for path in paths:
        if not path.exists():
            raise BadData("SourceNotFound", f"source '{source.name}': {path} does not exist", "Correct its uri.")
        if not os.access(path, os.R_OK):
            raise BadData("SourceNotReadable", f"source '{source.name}': no permission to read {path}", "Allow it.")
    return paths
