"""What is known of a job beside its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a manifest does not say and files of this machine need not say."""

    model: Path | None = None
    """Folder with the config.json of the pretrained model."""
    adapt_tokens: int | None = None
    """Tokens that adapt trains on, over all epochs."""
    price: float | None = None
    """Of one device, an hour."""


NOTHING_ASSUMED = Assumptions()
