"""What a real node needs of the machine, and how to get it."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from finetune_api import labels

NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Starts a command with a network without a way out, mounts that vanish with it, and processes that end with it."""
PACKAGES = ("iproute2", "runc", "containernetworking-plugins", "iptables", "ipset")
"""Of Debian and Ubuntu."""
PROGRAMS = ("unshare", "ip", "mount", "runc", "iptables", "ipset")
INSTALL_SECONDS = 300
ROOT = Path(__file__).resolve().parent.parent.parent
COVERED = (labels.CLAIMS_MOUNT, labels.PLAN_MOUNT, labels.SHARED_MEMORY_MOUNT, labels.TMP_MOUNT, labels.WORKSPACE_MOUNT)
"""Folders over which every pod mounts something."""
CNI_PLUGINS = Path("/usr/lib/cni")


def missing() -> list[str]:
    """What is missing, each with its remedy; packages are installed where that can be done."""
    if os.geteuid() != 0:
        return ["it needs root: run make test-e2e as root"]
    if _missing_programs() and shutil.which("apt-get"):
        _apt_get("update", "--quiet")
        _apt_get("install", "--yes", "--no-install-recommends", *PACKAGES)
    covered = next((place for place in COVERED if ROOT.is_relative_to(place)), None)
    if covered is not None:
        return [f"pods have a {covered} of their own and so do not see {ROOT}: clone the repository to another folder"]
    programs = _missing_programs()
    if programs:
        return [f"install {', '.join(programs)} (Debian, Ubuntu: apt-get install {' '.join(PACKAGES)})"]
    if subprocess.run([*NAMESPACES, "true"], check=False, capture_output=True).returncode != 0:
        return [f"'{' '.join(NAMESPACES)} true' is refused: it takes CAP_SYS_ADMIN"]
    return []


def _apt_get(*arguments: str) -> None:
    """What it could not do is told by what is missing afterwards."""
    with suppress(subprocess.TimeoutExpired):
        command = ["apt-get", "-o", "Acquire::http::Timeout=20", *arguments]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=INSTALL_SECONDS)


def _missing_programs() -> list[str]:
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    return programs + ([] if (CNI_PLUGINS / "bridge").exists() else [f"the CNI plugins in {CNI_PLUGINS}"])
