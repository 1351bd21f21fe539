"""Volumes of a local pod: each mount path stands for a real folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from finetune_api.objects import Object


class NotReadyError(Exception):
    """Something that the pod needs does not exist yet."""


class NotRunnableError(Exception):
    """The pod asks for what the local cluster does not have."""


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
        if "subPathExpr" in mount:
            raise NotRunnableError("subPathExpr is not supported by the local cluster")
        place = folders[mount["name"]] / _inside(mount.get("subPath", ""))
        if mount.get("subPath"):
            place.mkdir(parents=True, exist_ok=True)
        mounts[os.path.normpath(mount["mountPath"])] = place
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
    config_map = config_maps.get(source["name"])
    if config_map is None:
        raise NotReadyError(f"ConfigMap {source['name']} does not exist")
    data = config_map.get("data") or {}
    items = source.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        if item["key"] not in data:
            raise NotReadyError(f"ConfigMap {source['name']} has no key {item['key']}")
        path = folder / _inside(item["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data[item["key"]], encoding="utf-8")


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in Path(path).parts:
        raise NotRunnableError(f"path {path!r} leads out of its volume")
    return path
