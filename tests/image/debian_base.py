"""A base image made on this machine from Debian's packages: nothing is pulled, and apt checks the signatures.

It stands in for the slim Python image of the Dockerfile where no registry can be reached.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from cluster.build_tools import cache_folder, locked, say

PACKAGES = ("ca-certificates", "python3", "python3-venv")
LEFT_OUT = (
    "dev", "proc", "run", "sys", "tmp", "etc/apt/sources.list", "etc/hostname", "etc/resolv.conf",
    "var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "var/log",
)  # fmt: skip
"""The machine's own, or made anew: only the folders themselves are kept."""
DOCKERFILE = "FROM scratch\nADD root.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
HOST_PROGRAMS = ("debootstrap", "runc")
"""Named like their packages."""


class ImageError(Exception):
    """An image cannot be built here; the message says why and what would help."""


def missing() -> list[str]:
    """What building without a registry lacks on this machine, each with its remedy; what apt has is installed."""
    if os.geteuid() != 0:
        return ["root is needed to make a base image: run as root"]
    if _missing_programs() and shutil.which("apt-get"):
        for command in (("update",), ("install", "--yes", "--no-install-recommends", *HOST_PROGRAMS)):
            subprocess.run(["apt-get", "--quiet", *command], check=False, stdout=subprocess.DEVNULL)
    programs = _missing_programs()
    return [f"install {' '.join(programs)} (Debian, Ubuntu: apt-get install {' '.join(programs)})"] if programs else []


def _missing_programs() -> list[str]:
    return [name for name in HOST_PROGRAMS if shutil.which(name) is None]


def build_context() -> Path:
    """A folder with a Dockerfile of the base image and `root.tar`; made once per user and release of Debian.

    Raises:
        ImageError: if debootstrap fails.
    """
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    key = hashlib.sha256(repr((codename, platform.machine(), PACKAGES, LEFT_OUT, DOCKERFILE)).encode()).hexdigest()
    folder = images_folder() / f"base-{codename}-{key[:12]}"
    with locked(folder):
        if not folder.is_dir():
            say(f"Making a base image of Debian {codename}, once on this machine (about a minute) ...")
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
                context = Path(scratch) / "context"
                context.mkdir()
                _debootstrap(codename, Path(scratch) / "root")
                _pack(Path(scratch) / "root", context / "root.tar")
                (context / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
                context.rename(folder)
    return folder


def images_folder() -> Path:
    """Where base images and the builder's state live, beside the tools."""
    return cache_folder().with_name("images")


def _debootstrap(codename: str, root: Path) -> None:
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        codename,
        str(root),
        _mirror(codename),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ImageError(f"debootstrap failed:\n{(result.stdout + result.stderr)[-2000:]}")


def _mirror(codename: str) -> str:
    """The mirror that apt uses on this machine."""
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(RELEASE) $(REPO_URI)",
        "Created-By: Packages",
        "Component: main",
    ]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    for release, _, uri in (line.partition(" ") for line in lines):
        if release == codename:
            return uri
    raise ImageError(f"apt has no source for Debian {codename}: add one and run `apt-get update`")


def _pack(root: Path, archive: Path) -> None:
    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = entry.name.removeprefix("./")
        inside = any(name.startswith(f"{path}/") for path in LEFT_OUT)
        return None if inside or (name in LEFT_OUT and not entry.isdir()) else entry

    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".", filter=kept)
