"""One image, made here, whose programs are the machine's own: `/usr` and Python are mounted into every container.

So a pod has torch without an image of six gigabytes, and the manifests of the product run as they are.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from finetune_api.objects import Object

FOLDERS = ("dev", "etc", "mnt", "opt", "proc", "root", "run", "sys", "usr", "var")
LINKS_INTO_USR = ("bin", "sbin", "lib", "lib64")
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532:nonroot:/tmp:/bin/false\n",
    "group": "root:x:0:\nnonroot:x:65532:\n",
    "nsswitch.conf": "hosts: files dns\npasswd: files\ngroup: files\n",
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def mounted_folders(root: Path) -> list[Path]:
    """What containers see of the machine: programs, Python, this repository with its environment."""
    wanted = {Path("/usr"), Path(sys.base_prefix), Path(sys.prefix), root}
    return sorted(path for path in wanted if not any(other in path.parents for other in wanted))


def write_image(path: Path, names: Sequence[str], pause: Path) -> None:
    """Write an OCI archive with one image under several names; what it starts by itself is `pause`."""
    layer = _layer(pause)
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Env": [f"PATH={Path(sys.prefix) / 'bin'}:/usr/bin:/usr/sbin"], "Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    config_blob = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config_blob),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    }
    manifest_blob = json.dumps(manifest).encode()
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest_blob)
    index = {
        "schemaVersion": 2,
        "manifests": [entry | {"annotations": {"io.containerd.image.name": name}} for name in names],
    }
    with tarfile.open(path, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for blob in (layer, config_blob, manifest_blob):
            _add(archive, "blobs/sha256/" + _digest(blob).removeprefix("sha256:"), blob)


def runtime_spec(default: Object, mounts: Sequence[Path]) -> Object:
    """`default`, as `ctr oci spec` prints it, with `mounts` read-only in every container."""
    spec = json.loads(json.dumps(default))
    spec["process"].pop("rlimits", None)  # the default lowers the number of open files to 1024
    spec["linux"].pop("cgroupsPath", None)
    spec["mounts"] += [
        {"destination": str(path), "type": "bind", "source": str(path), "options": ["rbind", "ro", "nosuid", "nodev"]}
        for path in mounts
    ]
    return dict(spec)


def _layer(pause: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in FOLDERS:
            _add_entry(archive, name, tarfile.DIRTYPE, 0o755)
        _add_entry(archive, "tmp", tarfile.DIRTYPE, 0o1777)
        for name in LINKS_INTO_USR:
            _add_entry(archive, name, tarfile.SYMTYPE, 0o777, f"usr/{name}")
        for name, text in ETC.items():
            _add(archive, f"etc/{name}", text.encode())
        _add(archive, "pause", pause.read_bytes(), mode=0o755)
        _add(archive, "etc/ld.so.cache", Path("/etc/ld.so.cache").read_bytes())
    return buffer.getvalue()


def _add_entry(archive: tarfile.TarFile, name: str, kind: bytes, mode: int, target: str = "") -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = kind, mode, target
    archive.addfile(entry)


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _descriptor(media_type: str, blob: bytes) -> Object:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}
