"""Runs a program of an unpacked image as a restricted pod would: by runc, unprivileged, on a read-only root."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_api.objects import Object

USER = 65532


@dataclass(frozen=True)
class Container:
    """An image's files and configuration, and a folder for what runc writes."""

    root: Path
    configuration: Object
    folder: Path

    def run(self, *command: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in a network of its own; the entry point if there is none."""
        name = f"image-{uuid.uuid4().hex[:8]}"
        bundle = self.folder / name
        bundle.mkdir(parents=True)
        subprocess.run(["runc", "spec"], cwd=bundle, check=True)
        path = bundle / "config.json"
        spec = _restrict(json.loads(path.read_text(encoding="utf-8")), self.configuration, self.root, command)
        path.write_text(json.dumps(spec), encoding="utf-8")
        runc = ["runc", "--root", str(self.folder / "runc")]
        try:
            return subprocess.run(
                [*runc, "run", "--bundle", str(bundle), name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        finally:
            subprocess.run([*runc, "delete", "--force", name], capture_output=True, check=False)


def _restrict(default: Object, configuration: Object, root: Path, command: Sequence[str]) -> Object:
    process: Object = default["process"] | {
        "terminal": False,
        "user": {"uid": USER, "gid": USER},
        "args": list(command or configuration["Entrypoint"]),
        "env": configuration["Env"],
        "cwd": configuration["WorkingDir"],
        "capabilities": {},
        "noNewPrivileges": True,
    }
    process.pop("rlimits")  # not every machine may set them
    temporary = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]}
    return default | {
        "process": process,
        "root": {"path": str(root), "readonly": True},
        "mounts": [*default["mounts"], temporary],
    }
