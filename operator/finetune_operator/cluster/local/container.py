"""From a container's spec to a process: command, environment and what names and paths mean on this machine."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from finetune_api.labels import JOB_COMPLETION_INDEX
from finetune_api.objects import Object
from finetune_operator.cluster.local.volumes import NotRunnableError

POD_UID_VARIABLE = "FINETUNE_LOCAL_POD"
"""Marks all processes of a pod, so that they are found again whoever their parent has become."""
SUPPORTED_FIELDS = frozenset(
    (
        *("name", "command", "env", "ports", "volumeMounts", "terminationMessagePath", "terminationMessagePolicy"),
        # Of no meaning to a process of this user on this machine.
        *("image", "imagePullPolicy", "resources", "securityContext"),
    )
)
"""Of a container: those that `reconcile` writes."""
COMPLETION_INDEX = f"metadata.annotations['{JOB_COMPLETION_INDEX}']"
"""Field path of a pod's index in its Job."""


@dataclass(frozen=True, slots=True)
class Process:
    """What to start."""

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    """Working directory."""


def process_of(
    pod: Object,
    mounts: Mapping[str, Path],
    hosts: Mapping[str, str],
    overrides: Mapping[str, str],
    inherited: Mapping[str, str],
    workspace: Path,
) -> Process:
    """The process that stands for a pod's container.

    Args:
        pod: the Pod, with its address in the status.
        mounts: real path by path in the container.
        hosts: address by stable host name.
        overrides: environment that is set above the container's.
        inherited: environment of this process.
        workspace: working directory.

    Raises:
        NotRunnableError: if the command cannot be found, or the container needs what is not there.
    """
    container = pod["spec"]["containers"][0]
    _refuse_others(container)
    real = _rewriter(mounts, hosts)
    own = {
        variable["name"]: real(_field(pod, variable) if "valueFrom" in variable else variable.get("value", ""))
        for variable in container.get("env", ())
    }
    programs = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', os.defpath)}"
    environment = {
        **inherited,
        "PATH": programs,
        "HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"],
        **own,
        **overrides,
        POD_UID_VARIABLE: pod["metadata"]["uid"],
    }
    words = [real(word) for word in container.get("command", ())]
    if not words:
        raise NotRunnableError("a container needs a command: the local cluster has no images to take it from")
    program = shutil.which(words[0], path=environment["PATH"])
    if program is None:
        raise NotRunnableError(
            f"{words[0]} is not installed beside {sys.executable} nor on PATH: install finetune-operator[trainer]"
        )
    return Process((program, *words[1:]), environment, str(workspace))


def _refuse_others(container: Object) -> None:
    others = sorted(container.keys() - SUPPORTED_FIELDS)
    if others:
        raise NotRunnableError(f"{', '.join(others)} is not supported by the local cluster")


def _rewriter(mounts: Mapping[str, Path], hosts: Mapping[str, str]) -> Callable[[str], str]:
    """Replaces paths in the container by real ones, and stable host names by addresses."""
    replacements = {path: str(place) for path, place in mounts.items()} | dict(hosts)
    if not replacements:
        return str
    # The longest first: of nested mounts the inner one counts.
    ordered = sorted(replacements, key=len, reverse=True)
    # A path begins after anything that is no part of a path, or as that of a URI; a host name where no name goes on.
    start = {True: r"(?:(?<=://)|(?<![\w./-]))", False: r"(?<![\w.-])"}
    pattern = re.compile("|".join(rf"{start[name.startswith('/')]}{re.escape(name)}(?![\w-]|\.\w)" for name in ordered))
    return lambda text: pattern.sub(lambda match: replacements[match[0]], text)


def _field(pod: Object, variable: Object) -> str:
    path = (variable["valueFrom"].get("fieldRef") or {}).get("fieldPath", "")
    if path == COMPLETION_INDEX:
        return str(pod["metadata"]["annotations"][JOB_COMPLETION_INDEX])
    if path == "status.podIP":
        return str(pod["status"]["podIP"])
    raise NotRunnableError(
        f"env {variable['name']}: the local cluster supports only fieldRef to {COMPLETION_INDEX} and status.podIP"
    )
