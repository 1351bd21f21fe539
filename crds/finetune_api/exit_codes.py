"""Exit codes of a trainer process, and what the operator does about each."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Contract between trainer and operator."""

    DONE = 0
    """Next stage."""
    BAD_CONFIGURATION = 64
    """Fail, no retry."""
    BAD_DATA = 65
    """Fail, no retry; the message names file, line and reason."""
    BUG = 70
    """Retry once."""
    PREEMPTED = 75
    """Checkpoint saved; restart without counting."""
    NON_FINITE_LOSS = 76
    """Restart from an earlier checkpoint, skip the data window, own budget."""
    HANG = 77
    """Restart the gang."""
    OUT_OF_MEMORY = 78
    """Retry once with a smaller micro-batch, same global batch."""
    KILLED = 137
    """SIGKILL: infrastructure."""
    TERMINATED = 143
    """SIGTERM without a checkpoint: infrastructure."""


class CliExitCode(IntEnum):
    """Exit codes of `finetune`."""

    SUCCEEDED = 0
    FAILED = 1
    REFUSED = 2
    """Refused manifest or wrong usage."""
    INTERRUPTED = 130
    """Ctrl-C, checkpoint saved."""
