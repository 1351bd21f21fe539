"""What is mounted already."""

from __future__ import annotations

from pathlib import Path

from finetune_api import labels


def file_path(rest: str) -> Path:
    """`file:///a/b`: the path itself."""
    return Path(rest)


def claim_path(rest: str) -> Path:
    """`pvc://claim/a/b`: below the mount of the claim."""
    return Path(labels.CLAIMS_MOUNT) / rest
