"""`GET /progress` of rank 0, and one row of a training history."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.stages import Stage
from finetune_api.status import ProgressStatus

Phase = Literal[
    "Starting",
    "Reading",
    "Loading",
    "Verifying",
    "Training",
    "Validating",
    "Checkpointing",
    "Decoding",
    "Scoring",
    "Writing",
    "Publishing",
]


class Progress(ApiModel):
    """What a running stage reports."""

    stage: Stage
    attempt: int = Field(ge=1)
    phase: Phase
    """What it is doing now."""
    progress: ProgressStatus
    """Figures."""
    productive_seconds: float = Field(default=0.0, ge=0.0)
    """Time in steps whose result survives so far, this attempt."""
    checkpoint_stall_seconds: float | None = Field(default=None, ge=0.0)
    """Stall of the last checkpoint."""
    message: str = Field(default="", max_length=256)
    """Anything else worth a line."""
    time: datetime


class ArmHistory(ApiModel):
    """One arm at one moment."""

    probability: float
    loss: float | None = None
    """Recent training loss of the arm."""
    tokens: int
    """Target tokens trained on so far."""
    reward: float | None = None
    """Smoothed reward."""


class HistoryRow(ApiModel):
    """One line of `history.jsonl`, beside a trained model; the report draws its curves from it."""

    step: int
    tokens: int
    """Row tokens so far."""
    seconds: float
    """Training time so far."""
    loss: float | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    tokens_per_second: float | None = None
    arms: dict[str, ArmHistory] = Field(default_factory=dict)
    validation_loss: dict[str, float] = Field(default_factory=dict)
    """By validation set; `all` is the token-weighted mean."""
    validation_score: dict[str, float] = Field(default_factory=dict)
    """By metric: of answers to a few segments of the validation split."""


def read_history(path: Path) -> list[HistoryRow]:
    """All whole rows of a `history.jsonl`."""
    rows = (parse_history_row(line) for line in path.read_text(encoding="utf-8").split("\n"))
    return [row for row in rows if row is not None]


def parse_history_row(line: str) -> HistoryRow | None:
    """One line of a history; None if it is cut off."""
    try:
        return HistoryRow.model_validate_json(line)
    except ValueError:
        return None
