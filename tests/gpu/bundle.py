"""Wheels that a machine with CUDA, torch, transformers and peft lacks: built here, unpacked there without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
LIMIT_BYTES = 60 * 10**6
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MODULES = {
    "annotated_types": "annotated-types",
    "babel": "babel",
    "colorama": "colorama",
    "deepspeed": "deepspeed",
    "defusedxml": "defusedxml",
    "einops": "einops",
    "faiss": "faiss-cpu",
    "hjson": "hjson",
    "liger_kernel": "liger-kernel",
    "lxml": "lxml",
    "msgpack": "msgpack",
    "portalocker": "portalocker",
    "prometheus_client": "prometheus-client",
    "cpuinfo": "py-cpuinfo",
    "pydantic": "pydantic",
    "pydantic_core": "pydantic-core",
    "sacrebleu": "sacrebleu",
    "tabulate": "tabulate",
    "typing_inspection": "typing-inspection",
}
"""What the steps import, and the package that has it."""
EXPECTED_THERE = ("accelerate", "numpy", "peft", "pyarrow", "safetensors", "torch", "transformers", "yaml")
"""What the steps import and the machine must have: it is too large, or bound to its torch."""
OPTIONAL = ("liger_kernel",)
"""For the peer only."""
FROM_SOURCE = ("deepspeed",)
"""Published as source only; without its kernels it is pure Python."""
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==", re.MULTILINE)


def build(folder: Path) -> int:
    """Fill `folder` with wheels at the versions of the lock, each by its hash; returns their bytes.

    Raises:
        ValueError: if they are larger than LIMIT_BYTES together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    wanted = set(MODULES.values())
    with tempfile.TemporaryDirectory() as name:
        _pip("download", wanted - set(FROM_SOURCE), Path(name), "--dest", str(folder), *_target())
        _pip("wheel", set(FROM_SOURCE), Path(name), "--wheel-dir", str(folder), "--no-build-isolation")
    size = sum(path.stat().st_size for path in folder.glob("*.whl"))
    if size > LIMIT_BYTES:
        raise ValueError(f"{folder} has {size / 1e6:.1f} MB; {LIMIT_BYTES / 1e6:.0f} MB may be carried")
    return size


def _pip(verb: str, packages: set[str], scratch: Path, *options: str) -> None:
    requirements = scratch / f"{verb}.txt"
    requirements.write_text("".join(locked(CONSTRAINTS.read_text(encoding="utf-8"), packages)), encoding="utf-8")
    command = [sys.executable, "-m", "pip", verb, "--quiet", "--no-deps", "--require-hashes", *options]
    subprocess.run([*command, "--requirement", str(requirements)], check=True, env=os.environ | {"DS_BUILD_OPS": "0"})


def _target() -> Iterator[str]:
    yield from ("--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON)
    for platform in PLATFORMS:
        yield from ("--platform", platform)


def locked(constraints: str, packages: set[str]) -> list[str]:
    """The blocks of `packages` in a lock, with their hashes.

    Raises:
        KeyError: if one is not in the lock.
    """
    starts = [match.start() for match in _PIN.finditer(constraints)]
    blocks = [constraints[a:b] for a, b in zip(starts, [*starts[1:], len(constraints)], strict=True)]
    found = {block.partition("==")[0]: block.replace("\r", "") for block in blocks}
    return [found[name] for name in sorted(packages)]


def unpack(bundle: Path, site: Path) -> Path:
    """Unpack the wheels of `bundle` into `site`, with this checkout's own metadata, and return `site`."""
    for wheel in sorted(bundle.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(metadata, encoding="utf-8")
    return site


def main() -> int:
    """`python tests/gpu/bundle.py [FOLDER]`."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "gpu-bundle"
    try:
        size = build(folder)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(f"{folder}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
