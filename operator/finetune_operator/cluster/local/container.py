"""From a container's spec to a process: command, environment and what names and paths mean on this machine."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from finetune_api.objects import Object
from finetune_operator.cluster.local.volumes import NotRunnableError

POD_UID_VARIABLE = "FINETUNE_LOCAL_POD"
"""Marks all processes of a pod, so that they are found again whoever their parent has become."""
SERVICE_SUFFIXES = ("", ".{namespace}", ".{namespace}.svc", ".{namespace}.svc.cluster.local")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


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
        overrides: environment that is set whatever the container says.
        inherited: environment of this process.
        workspace: working directory, unless the container names one.

    Raises:
        NotRunnableError: if the command cannot be found, or the container asks for what is not there.
    """
    container = pod["spec"]["containers"][0]
    if container.get("envFrom"):
        raise NotRunnableError("envFrom is not supported by the local cluster")
    real = _rewriter(mounts, hosts, pod["metadata"]["namespace"])
    own: dict[str, str] = {}
    for variable in container.get("env", ()):
        value = _field(pod, variable) if "valueFrom" in variable else _expand(variable.get("value", ""), own)
        own[variable["name"]] = real(value)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', os.defpath)}"
    environment = {
        **inherited,
        "PATH": programs,
        "HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"],
        **own,
        **overrides,
        POD_UID_VARIABLE: pod["metadata"]["uid"],
    }
    words = [real(_expand(word, own)) for word in [*container.get("command", ()), *container.get("args", ())]]
    if not container.get("command"):
        raise NotRunnableError("a container needs a command: the local cluster has no images to take it from")
    program = shutil.which(words[0], path=environment["PATH"])
    if program is None:
        raise NotRunnableError(
            f"{words[0]} is not installed beside {sys.executable} nor on PATH: install finetune-operator[trainer]"
        )
    folder = real(container["workingDir"]) if "workingDir" in container else str(workspace)
    return Process((program, *words[1:]), environment, folder)


def _rewriter(mounts: Mapping[str, Path], hosts: Mapping[str, str], namespace: str) -> Callable[[str], str]:
    """Replaces paths in the container by real ones, and stable host names by addresses."""
    names = {
        host + suffix.format(namespace=namespace): address
        for host, address in hosts.items()
        for suffix in SERVICE_SUFFIXES
    }
    replacements = {path: str(place) for path, place in mounts.items()} | names
    if not replacements:
        return str
    # The longest first: of nested mounts the inner one counts.
    ordered = sorted(replacements, key=len, reverse=True)
    # A path begins after anything that is no part of a path, or as that of a URI; a host name where no name goes on.
    start = {True: r"(?:(?<=://)|(?<![\w./-]))", False: r"(?<![\w.-])"}
    pattern = re.compile("|".join(rf"{start[name.startswith('/')]}{re.escape(name)}(?![\w-]|\.\w)" for name in ordered))
    return lambda text: pattern.sub(lambda match: replacements[match[0]], text)


def _expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` is the variable's value, `$$` a dollar; unknown names stay, as in Kubernetes."""
    return _REFERENCE.sub(lambda m: "$" if m[1] is None else variables.get(m[1], m[0]), text)


def _field(pod: Object, variable: Object) -> str:
    path = (variable["valueFrom"].get("fieldRef") or {}).get("fieldPath", "")
    keyed = _KEYED_FIELD.fullmatch(path)
    if keyed:
        return str((pod["metadata"].get(keyed[1]) or {}).get(keyed[2], ""))
    values = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.uid": pod["metadata"]["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "status.hostIP": "127.0.0.1",
        "status.podIP": (pod.get("status") or {}).get("podIP", ""),
    }
    if path not in values:
        raise NotRunnableError(
            f"env {variable['name']}: the local cluster supports only fieldRef to {', '.join(values)}"
        )
    return str(values[path])
