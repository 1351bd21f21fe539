"""Errors of a stage: each knows its exit code, its reason and the remedy. Nothing else reaches a user."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.exit_codes import ExitCode


def printable(text: str) -> str:
    """The text as UTF-8 can write it: a file's name may be bytes that are none, a key of JSON half a character."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class StageFailure(Exception):
    """A stage cannot go on."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, reason: str, message: str, remedy: str = "") -> None:
        """`reason` is CamelCase; `message` is what and where; `remedy` is what to do."""
        self.reason = reason
        self.message = printable(message)
        self.remedy = printable(remedy)
        super().__init__(self.message)


class BadConfiguration(StageFailure):
    """The plan or its surroundings cannot work (exit 64): bad value, disk full, no write permission, taken port."""

    exit_code = ExitCode.BAD_CONFIGURATION


class BadData(StageFailure):
    """The data cannot be used (exit 65); the message names file, line and reason."""

    exit_code = ExitCode.BAD_DATA


class Preempted(StageFailure):
    """Asked to stop; the checkpoint is saved (exit 75)."""

    exit_code = ExitCode.PREEMPTED

    def __init__(self, checkpoint_step: int | None, message: str = "") -> None:
        """`checkpoint_step` is the step of the checkpoint that was saved; None if there was nothing to save."""
        text = message or (
            "stopped before the first step: there was nothing to save"
            if checkpoint_step is None
            else f"stopped on request; checkpoint of step {checkpoint_step} is saved"
        )
        super().__init__("Preempted", text, "Run the same command again: it goes on where it was.")
        self.checkpoint_step = checkpoint_step


class NonFiniteLoss(StageFailure):
    """Loss or gradient is not finite for several steps (exit 76)."""

    exit_code = ExitCode.NON_FINITE_LOSS


class Hang(StageFailure):
    """A peer is alive but silent (exit 77)."""

    exit_code = ExitCode.HANG


class OutOfMemory(StageFailure):
    """Device or host memory is exhausted (exit 78)."""

    exit_code = ExitCode.OUT_OF_MEMORY


class Infrastructure(StageFailure):
    """The machine failed, not the job: a rank was killed, a peer is lost (exit 137).

    The operator restarts these within the infrastructure budget.
    """

    exit_code = ExitCode.KILLED


def raise_together(problems: Sequence[StageFailure]) -> None:
    """Raise one failure with the messages and remedies of all `problems`, of the kind of the first; none if empty."""
    if problems:
        first, remedies = problems[0], dict.fromkeys(problem.remedy for problem in problems if problem.remedy)
        raise type(first)(first.reason, "; ".join(problem.message for problem in problems), "     ".join(remedies))
