"""The programs that can build the Dockerfile, and the one that this machine has."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from image import buildkit
from image.debian_base import ImageError, missing

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON_BASE = "python:3.11-slim-bookworm"
"""The default of the Dockerfile."""


@dataclass(frozen=True)
class Order:
    """One image to build."""

    target: str
    name: str
    archive: Path
    """An OCI archive, or what docker writes in its place: `ctr images import` takes both."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)


class Builder(Protocol):
    """Builds an order and writes its archive."""

    def build(self, order: Order) -> None:
        """Raise ImageError if that fails."""


class Docker:
    """docker with its plugin buildx; the image is in docker's own store afterwards."""

    def build(self, order: Order) -> None:
        """See `Builder`."""
        _run(["docker", "buildx", "build", "--load", *_options(order), str(ROOT)])
        _run(["docker", "save", "--output", str(order.archive), order.name])


class Buildah:
    """buildah; the image is in its own store afterwards."""

    def build(self, order: Order) -> None:
        """See `Builder`."""
        _run(["buildah", "bud", "--layers", *_options(order), str(ROOT)])
        order.archive.unlink(missing_ok=True)  # buildah would add to it
        _run(["buildah", "push", order.name, f"oci-archive:{order.archive}:{order.name}"])


@dataclass(frozen=True)
class Bootstrap:
    """BuildKit from its Go module, on a base from Debian's packages."""

    daemon: buildkit.BuildKit
    base: Sequence[str]

    def build(self, order: Order) -> None:
        """See `Builder`."""
        options = buildkit.options(order.target, order.arguments, order.secrets)
        output = f"type=oci,dest={order.archive},name={order.name}"
        self.daemon.run(ROOT, *self.base, *options, "--output", output)


@contextmanager
def bootstrap() -> Iterator[Bootstrap]:
    """The builder that needs no registry and no daemon of the machine.

    Raises:
        ImageError: if the machine lacks something; the message names it.
    """
    lacking = missing()
    if lacking:
        raise ImageError(f"images cannot be built without a registry here: {'; '.join(lacking)}")
    with buildkit.running() as daemon, tempfile.TemporaryDirectory(prefix="base-") as folder:
        yield Bootstrap(daemon, buildkit.base_options(daemon, Path(folder), PYTHON_BASE))


def find_builder() -> Builder:
    """docker if its daemon answers, else buildah.

    Raises:
        ImageError: if the machine has neither.
    """
    if all(_succeeds("docker", *words) for words in (("buildx", "version"), ("info",))):
        return Docker()
    if _succeeds("buildah", "version"):
        return Buildah()
    raise ImageError(
        "no builder of images was found: neither docker with buildx and a daemon that answers, nor buildah.\n"
        "Install one (Debian, Ubuntu: apt install buildah); or, as root and without a registry: make image BOOTSTRAP=1"
    )


def _options(order: Order) -> list[str]:
    options = ["--target", order.target, "--tag", order.name]
    for name, value in order.arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    for name, path in order.secrets.items():
        options += ["--secret", f"id={name},src={path}"]
    return options


def _succeeds(*command: str) -> bool:
    return (
        shutil.which(command[0]) is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def _run(command: Sequence[str]) -> None:
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        raise ImageError(f"{' '.join(command[:2])} ended with {code} (reason above)")
