"""From the manifest a person wrote to the object the local cluster stores: paths made absolute and looked at."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune_api.objects import Object
from finetune_api.problems import Problem

FILE_SCHEME = "file://"


def make_paths_absolute(job: Object, manifest_folder: Path) -> Object:
    """A copy of `job` whose plain paths are `file://` URIs, relative ones being relative to the manifest."""
    resolved = copy.deepcopy(job)
    for _, owner in _uri_owners(resolved.get("spec", {})):
        uri = owner["uri"]
        if "://" not in uri:
            owner["uri"] = f"{FILE_SCHEME}{(manifest_folder / uri).resolve()}"
    return resolved


def missing_files(job: Object) -> list[Problem]:
    """Every `file://` URI of a resolved job that names nothing, or nothing readable."""
    problems = []
    for field, owner in _uri_owners(job.get("spec", {})):
        uri = owner["uri"]
        if not uri.startswith(FILE_SCHEME):
            continue
        for language in owner.get("languages", ()) if "{lang}" in uri else ("",):
            path = Path(uri.removeprefix(FILE_SCHEME).replace("{lang}", language))
            if not path.exists():
                problems.append(Problem(f"{field}.uri", f"no such file or folder: {path}", "SourceNotFound"))
            elif not os.access(path, os.R_OK):
                problems.append(Problem(f"{field}.uri", f"no permission to read {path}", "SourceNotReadable"))
    return problems


def _uri_owners(spec: Object) -> Iterator[tuple[str, Object]]:
    """Each object of the spec that has a `uri`, with its field path."""
    stack: list[tuple[str, Any]] = [("spec", spec)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            if isinstance(value.get("uri"), str):
                yield path, value
            stack.extend((f"{path}.{key}", child) for key, child in reversed(value.items()))
        elif isinstance(value, list):
            stack.extend((f"{path}[{i}]", child) for i, child in reversed(list(enumerate(value))))
