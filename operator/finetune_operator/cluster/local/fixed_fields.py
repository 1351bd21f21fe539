"""Rules of built-in kinds that the API server has and this project relies on."""

from __future__ import annotations

import re

from finetune_api.objects import Object
from finetune_api.problems import Problem
from finetune_operator.cluster.interface import Reference
from finetune_operator.cluster.resources import RESOURCES

MAX_NAME = 240
"""A little less than Kubernetes' 253, so that name and ending fit in a file name."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_FIXED_IN_JOB = ("template", "completions", "completionMode", "backoffLimit")


def reference_of(value: Object) -> Reference:
    """Which object this is; the namespace is `default` where none is given.

    Raises:
        ValueError: if kind, apiVersion, name or namespace is none that the local cluster has.
    """
    kind, metadata = value.get("kind"), value.get("metadata")
    if kind not in RESOURCES:
        raise ValueError(f"kind: must be one of {', '.join(RESOURCES)}, not {kind!r}")
    resource = RESOURCES[kind]
    if value.get("apiVersion") != resource.api_version:
        raise ValueError(f"apiVersion: must be {resource.api_version} for a {kind}, not {value.get('apiVersion')!r}")
    if not isinstance(metadata, dict):
        raise ValueError("metadata: required field is missing")  # noqa: TRY004 - a wrong value, to the caller
    namespace = (metadata.get("namespace") or "default") if resource.namespaced else ""
    for field, name in (("name", metadata.get("name")), ("namespace", namespace or "default")):
        if not isinstance(name, str) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
            raise ValueError(f"metadata.{field}: must be lower case letters, digits, '-' and '.', not {name!r}")
    return Reference(kind, namespace, metadata["name"])


def problems_of_change(kind: str, new: Object, old: Object | None) -> list[Problem]:
    """What may not be, or may not change once the object exists."""
    problems: list[Problem] = []
    if kind == "ConfigMap" and old is not None and old.get("immutable"):
        problems += [
            Problem(field, "cannot change: the ConfigMap is immutable")
            for field in ("data", "binaryData", "immutable")
            if new.get(field) != old.get(field)
        ]
    if kind == "Job":
        problems += _problems_of_job(new.get("spec") or {}, None if old is None else old["spec"])
    return problems


def _problems_of_job(new: Object, old: Object | None) -> list[Problem]:
    """Jobs as this project makes them; the local cluster has no use for others."""
    if old is not None:
        return [Problem(f"spec.{f}", "cannot change in a Job") for f in _FIXED_IN_JOB if new.get(f) != old.get(f)]
    problems = []
    if new.get("completionMode") != "Indexed":
        problems.append(Problem("spec.completionMode", "only Indexed is supported by the local cluster"))
    if new.get("backoffLimit") != 0:
        problems.append(Problem("spec.backoffLimit", "only 0 is supported by the local cluster"))
    pod = (new.get("template") or {}).get("spec") or {}
    if len(pod.get("containers") or ()) != 1 or pod.get("initContainers"):
        problems.append(Problem("spec.template.spec", "only pods of one container are supported by the local cluster"))
    if pod.get("restartPolicy") != "Never":
        problems.append(Problem("spec.template.spec.restartPolicy", "only Never is supported by the local cluster"))
    return problems
