"""From the manifest a person wrote to the object the local cluster stores: paths made absolute and looked at."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune_api import labels
from finetune_api.data import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.objects import Object
from finetune_api.problems import Problem

FILE_SCHEME = "file://"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
NOT_FOUND = "SourceNotFound"


def make_paths_absolute(job: Object, manifest_folder: Path) -> Object:
    """A copy of `job` whose plain paths are `file://` URIs, relative ones being relative to the manifest."""
    resolved = copy.deepcopy(job)
    for _, owner in _uri_owners(resolved.get("spec", {})):
        if _is_path(owner["uri"]):
            owner["uri"] = f"{FILE_SCHEME}{(manifest_folder / owner['uri']).resolve()}"
    return resolved


def without_parents(job: Object, manifest_folder: Path) -> Object:
    """A copy of `job` in which plain paths through a parent folder, `../data/x.tsv`, are full paths.

    On a cluster no path has `..` in it: a manifest whose workspace is a claim stays as it is, and is refused in words.
    """
    spec = job.get("spec")
    workspace = spec.get("workspace") if isinstance(spec, dict) else None
    if isinstance(workspace, dict) and {"claimName", "create"} & workspace.keys():
        return job
    resolved = copy.deepcopy(job)
    for _, owner in _uri_owners(resolved.get("spec", {})):
        if _is_path(owner["uri"]) and ".." in Path(owner["uri"]).parts:
            owner["uri"] = os.path.normpath(manifest_folder / owner["uri"])
    return resolved


def local_model_folder(spec: FineTuneJobSpec, folder: Path = Path("/")) -> Path | None:
    """Where the pretrained model of a job may be on this machine; plain paths are relative to `folder`."""
    return local_path(spec.model.from_.uri, folder) if spec.model.from_ is not None else None


def local_path(uri: str, folder: Path) -> Path | None:
    """Where a URI may be on this machine, plain paths relative to `folder`; None of one that is elsewhere."""
    if not uri or not (_is_path(uri) or uri.startswith(FILE_SCHEME)):
        return None
    return folder / uri.removeprefix(FILE_SCHEME)


def with_manifest(job: Object, manifest: Path) -> Object:
    """A copy of `job` that knows the file it was read from."""
    metadata = job["metadata"]
    annotations = metadata.get("annotations", {}) | {labels.MANIFEST: str(manifest.resolve())}
    return job | {"metadata": metadata | {"annotations": annotations}}


def missing_local_files(job: Object, folder: Path) -> list[Problem]:
    """Every plain path of a job as written that names nothing, or nothing readable; `file://` may be in a pod."""
    return _missing(job, folder, and_file_uris=False)


def missing_files(job: Object, folder: Path) -> list[Problem]:
    """As `missing_local_files`, for a job whose pods run here: `file://` URIs too."""
    return _missing(job, folder, and_file_uris=True)


def local_files(job: Object) -> list[Path]:
    """Files and folders that a job reads here; `job` with its paths made absolute."""
    owners = [owner for _, owner in _uri_owners(job["spec"]) if owner["uri"].startswith(FILE_SCHEME)]
    return [path for owner in owners for path in _paths(owner, Path("/"))]


def source_paths(source: DataSource) -> list[Path]:
    """Files of a source with a `file://` URI, one for each language where the name has `{lang}`; none of another."""
    owner = source.to_json_object()
    return list(_paths(owner, Path("/"))) if source.uri.startswith(FILE_SCHEME) else []


def _paths(owner: Object, folder: Path) -> Iterator[Path]:
    """The path of a URI; with `{lang}` in it, one for each language."""
    uri = owner["uri"].removeprefix(FILE_SCHEME)
    languages = owner.get("languages") if "{lang}" in uri else None
    for language in languages if isinstance(languages, list) else ("{lang}",):
        yield folder / uri.replace("{lang}", str(language))


def _missing(job: Object, folder: Path, *, and_file_uris: bool) -> list[Problem]:
    problems = []
    for field, owner in _uri_owners(job.get("spec", {})):
        uri = owner["uri"]
        if not (_is_path(uri) or (and_file_uris and uri.startswith(FILE_SCHEME))):
            continue
        for path in _paths(owner, folder):
            if not path.exists():
                problems.append(
                    Problem(f"{field}.uri", f"no such file or folder: {path}{_hint(field, uri)}", NOT_FOUND)
                )
            elif not os.access(path, os.R_OK):
                problems.append(Problem(f"{field}.uri", f"no permission to read {path}", "SourceNotReadable"))
    return problems


def _is_path(uri: str) -> bool:
    return "://" not in uri


def _hint(field: str, uri: str) -> str:
    """What to do with a name of the hub: `mistralai/Mistral-7B-v0.1`."""
    if not HUB_NAME.fullmatch(uri):
        return ""
    if ".data.sources" in field:
        return f"; if it is a data set of the hub, write hf://{uri}"
    return f"; if it is a model of the hub, fetch it (hf download {uri} --local-dir DIR) and give the folder"


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
