"""Volumes of a local pod: each mount path stands for a real folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune_api.objects import Object


class NotReadyError(Exception):
    """Something that the pod needs does not exist yet."""


class NotRunnableError(Exception):
    """The pod needs what the local cluster does not have."""


def prepare_volumes(pod: Object, folder: Path, claims: Path, config_maps: Mapping[str, Object]) -> dict[str, Path]:
    """Make the volumes of a pod; returns the real folder by mount path.

    Args:
        pod: the Pod.
        folder: where its own volumes are made.
        claims: where PersistentVolumeClaims are.
        config_maps: those of its namespace, by name.

    Raises:
        NotReadyError: if a ConfigMap is missing.
        NotRunnableError: if a volume or mount is of a kind that does not exist here.
        OSError: if a folder cannot be made.
    """
    folders = {v["name"]: _prepare(v, folder / v["name"], claims, config_maps) for v in pod["spec"].get("volumes", ())}
    mounts: dict[str, Path] = {}
    for mount in pod["spec"]["containers"][0].get("volumeMounts", ()):
        if mount["name"] not in folders:
            raise NotRunnableError(f"volumeMount {mount['mountPath']} names no volume: {mount['name']}")
        _refuse_others("volumeMount", mount, ("name", "mountPath", "readOnly"))
        mounts[os.path.normpath(mount["mountPath"])] = folders[mount["name"]]
    return mounts


def _prepare(volume: Object, folder: Path, claims: Path, config_maps: Mapping[str, Object]) -> Path:
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    if "persistentVolumeClaim" in volume:
        folder = claims / volume["persistentVolumeClaim"]["claimName"]
    elif "configMap" in volume:
        _write_config_map(volume["configMap"], folder, config_maps)
    elif "emptyDir" not in volume:
        kinds = ", ".join(sorted(volume.keys() - {"name"})) or "nothing"
        raise NotRunnableError(f"volume {volume['name']} is {kinds}, which the local cluster does not have")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_config_map(source: Object, folder: Path, config_maps: Mapping[str, Object]) -> None:
    _refuse_others("configMap", source, ("name",))
    config_map = config_maps.get(source["name"])
    if config_map is None:
        raise NotReadyError(f"ConfigMap {source['name']} does not exist")
    folder.mkdir(parents=True, exist_ok=True)
    for key, text in (config_map.get("data") or {}).items():
        (folder / key).write_text(text, encoding="utf-8")


def _refuse_others(what: str, value: Object, supported: Sequence[str]) -> None:
    others = sorted(value.keys() - set(supported))
    if others:
        raise NotRunnableError(f"{what}: {', '.join(others)} is not supported by the local cluster")
