"""`make image`: builds the images of the operator and the trainer and says where their archives are."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from cluster.build_tools import ToolsError, say
from image.builders import ROOT, Builder, Order, bootstrap, find_builder
from image.debian_base import ImageError

TARGETS = ("operator", "trainer")
ON_REQUEST = ("neural-metrics",)
"""Built where they are named."""
ARCHIVES = ROOT / "build" / "images"
_CUDA = {
    "EXTRAS": "trainer cuda",
    "DS_ACCELERATOR": "cuda",
    "DS_BUILD_CPU_ADAM": "1",
    "DS_BUILD_FUSED_ADAM": "1",
}
VARIANTS: Mapping[str, Mapping[str, str]] = {"cpu": {}, "cuda": _CUDA, "cuda12": _CUDA | {"CUDA": "12"}}
SECRETS = {
    "certificates": ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"),
    "pip": ("~/.config/pip/pip.conf", "/etc/pip.conf"),
    "uv": ("~/.config/uv/uv.toml", "/etc/uv/uv.toml"),
}
"""What a build may see of this machine, by the id it has in the Dockerfile; the first file that is there counts."""


def orders(targets: Sequence[str], variant: str, arguments: Mapping[str, str]) -> list[Order]:
    """What to build. Variants differ in the trainer only; `arguments` win over those of the variant."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    common = {"VERSION": version, "REVISION": _revision()}
    found = []
    for target in targets:
        special = target != "operator" and variant != "cpu"
        tag = f"{version}-{variant}" if special else version
        values = common | (dict(VARIANTS[variant]) if special else {}) | dict(arguments)
        archive = ARCHIVES / f"{target}-{tag}.tar"
        found.append(Order(target, f"localhost/finetune-operator/{target}:{tag}", archive, values, _secrets()))
    return found


def _revision() -> str:
    if shutil.which("git") is None:
        return "unknown"
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--match="]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _secrets() -> dict[str, Path]:
    found = {
        name: [path for path in (Path(text).expanduser() for text in texts) if path.is_file()]
        for name, texts in SECRETS.items()
    }
    return {name: paths[0] for name, paths in found.items() if paths}


def build(wanted: Sequence[Order], builder: Builder) -> None:
    """Build one after the other; one line for each on stdout."""
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    for order in wanted:
        began = time.monotonic()
        builder.build(order)
        size = order.archive.stat().st_size / 1e6
        seconds = time.monotonic() - began
        path = order.archive.relative_to(ROOT)
        print(f"{order.name}: {path} ({size:.0f} MB, {seconds:.0f} s)", flush=True)  # noqa: T201 - the answer


def main(words: Sequence[str] | None = None) -> int:
    """0 if all were built, 1 if not, 2 for arguments that make no sense."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = ", ".join((*TARGETS, *ON_REQUEST))
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {known}; default: {', '.join(TARGETS)}")
    parser.add_argument("--variant", choices=VARIANTS, default="cpu", help="of the trainer")
    parser.add_argument(
        "--bootstrap", action="store_true", help="pull nothing: BuildKit from its Go module, base from Debian"
    )
    parser.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="an ARG of the Dockerfile"
    )
    given = parser.parse_args(words)
    unknown = sorted(set(given.targets) - {*TARGETS, *ON_REQUEST})
    if unknown:
        parser.error(f"unknown target {', '.join(unknown)}: choose from {known}")
    wanted = orders(given.targets or TARGETS, given.variant, dict(text.split("=", 1) for text in given.build_arg))
    try:
        with bootstrap() if given.bootstrap else nullcontext(find_builder()) as builder:
            build(wanted, builder)
    except (ImageError, ToolsError) as error:
        say(f"make image: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
