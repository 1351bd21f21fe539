"""Processes that die in the middle of writing."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Killed(BaseException):
    """The process is gone: nothing it does from now on happens."""


def kill_at(call: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the process die at its `call`-th operation on the disk (0: the first); returns the names of those done."""
    done: list[str] = []

    def guard(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def guarded(*arguments: Any, **options: Any) -> Any:
            if len(done) >= call:
                raise Killed(name)
            done.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, guarded)

    for owner, name in [(os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir"),
                        (shutil, "rmtree"), (hashlib, "file_digest")]:  # fmt: skip
        guard(owner, name)
    return done
