"""The programs that the tests run as pods."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Program:
    """A module that is run as `python -m module arguments`; `executable` is its installed command, if it has one."""

    module: str
    arguments: tuple[str, ...] = ()
    executable: Path | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """How it is started in an interpreter of its own."""
        start = (sys.executable, "-m", self.module) if self.executable is None else (str(self.executable),)
        return (*start, *self.arguments)


TRAINER = Program("finetune_trainer", executable=Path(sys.executable).with_name("finetune-trainer"))
FAKE = Program("training.fake_trainer")


def recipe(function: str) -> Program:
    """The trainer with `function`, as `module:function`, instead of stage pretrain."""
    return Program("training.recipes", (function,))
