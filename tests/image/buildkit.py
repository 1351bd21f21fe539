"""BuildKit as a process of this user's, built from its Go module: the builder of machines without docker or buildah."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lifeline
from cluster import build_tools
from image.debian_base import ImageError, build_context, images_folder

START_SECONDS = 30
STOP_SECONDS = 30
KEPT = "0,10000,4000"
"""MB of cached steps: none for sure, so that 10,000 stay free on the disk, and 4,000 at most."""


@dataclass(frozen=True)
class BuildKit:
    """A daemon that runs; `run` gives the output of one build."""

    buildctl: Path
    address: str

    def run(self, folder: Path, *options: str, quiet: bool = False) -> str:
        """Build the Dockerfile in `folder`.

        Raises:
            ImageError: if that fails.
        """
        command = [str(self.buildctl), "--addr", self.address, "build", "--progress=plain", "--frontend=dockerfile.v0"]
        command += [f"--local=context={folder}", f"--local=dockerfile={folder}", *options]
        # The steps go to stderr, and results to stdout.
        shown = subprocess.PIPE if quiet else None
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=shown, text=True, check=False)
        if result.returncode != 0:
            raise ImageError(f"BuildKit failed: {(result.stderr or 'see above')[-3000:]}")
        return result.stdout


def base_options(buildkit: BuildKit, folder: Path, base: str) -> list[str]:
    """Options of a build that put Debian's packages in the place of the image `base`; `folder` gets their image."""
    buildkit.run(build_context(), "--output", f"type=oci,tar=false,dest={folder},compression=uncompressed", quiet=True)
    digest = json.loads((folder / "index.json").read_text(encoding="utf-8"))["manifests"][0]["digest"]
    return [f"--oci-layout=base={folder}", f"--opt=context:{base}=oci-layout://base@{digest}"]


def options(target: str, arguments: Mapping[str, str], secrets: Mapping[str, Path]) -> list[str]:
    """Options that name a target, build arguments and secrets."""
    return [
        f"--opt=target={target}",
        *(f"--opt=build-arg:{name}={value}" for name, value in arguments.items()),
        *(f"--secret=id={name},src={path}" for name, path in secrets.items()),
    ]


@contextmanager
def running() -> Iterator[BuildKit]:
    """A daemon, from start to stop; the steps it has done stay in this user's cache.

    Raises:
        ImageError: if it does not start.
        ToolsError: if it cannot be built.
    """
    programs = build_tools.build(["buildkit"])
    state = images_folder() / "buildkit"
    with build_tools.locked(state), tempfile.TemporaryDirectory(prefix="buildkit-") as scratch:
        address = f"unix://{scratch}/socket"
        command = [str(programs["buildkitd"]), "--root", str(state), "--addr", address, "--containerd-worker=false"]
        command += ["--oci-worker-net=host", f"--oci-worker-binary={shutil.which('runc')}", "--oci-worker-gc=true"]
        command += [f"--oci-worker-gc-keepstorage={KEPT}"]
        log = Path(scratch) / "log"
        with log.open("wb") as output:
            daemon = lifeline.start(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait(programs["buildctl"], address, log)
            yield BuildKit(programs["buildctl"], address)
        finally:
            daemon.terminate()
            try:
                daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _wait(buildctl: Path, address: str, log: Path) -> None:
    command = [str(buildctl), "--wait", "--addr", address, "debug", "workers"]
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=START_SECONDS)
    except subprocess.SubprocessError as error:
        raise ImageError(f"buildkitd did not start:\n{log.read_text(encoding='utf-8')[-2000:]}") from error
