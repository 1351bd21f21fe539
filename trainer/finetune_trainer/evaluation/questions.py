"""What systems are asked beside their tests: nothing is scored, the outputs are looked at."""

from __future__ import annotations

from typing import Protocol

from finetune_trainer.tasks import System


class Question(Protocol):
    """One thing to ask every model of a report."""

    @property
    def name(self) -> str:
        """By which its answers are found; no two questions of a report have the same."""
        ...

    @property
    def size(self) -> int:
        """Answers of one system."""
        ...

    def ask(self, system: System) -> list[str]:
        """The system's answers; collective: every rank does its share and has all of them afterwards."""
        ...

    def columns(self, outputs: list[str], baseline: list[str] | None) -> dict[str, list[str]]:
        """What its TSV holds, by column; `baseline` are the baseline's answers, if there is one."""
        ...
