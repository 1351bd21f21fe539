"""Processes of the check: each step is one, and so is each pod of the product's step.

On a card every process is a new interpreter, for CUDA does not survive a fork. Elsewhere steps are forks of a server
that has imported torch and its family once, and what a step starts is a fork of the step, before it has trained
anything.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkContext, ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import lifeline
from finetune_trainer.pod.environment import has_cuda

Target = Callable[..., object]


def process_context() -> ForkContext | ForkServerContext | SpawnContext:
    """How processes are started here."""
    if has_cuda(os.environ):
        return multiprocessing.get_context("spawn")
    if multiprocessing.parent_process() is not None:
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gpu.preload"])
    return context


def start(target: Target, *arguments: object, output: Path) -> BaseProcess:
    """Run `target` in a process that leads a group of its own, ends with its parent, and prints into `output`.

    Its exit code is what `target` returns (None is 0), or 1 after an exception.
    """
    process = process_context().Process(target=_enter, args=(target, arguments, str(output)))
    process.start()
    return process


def end(process: BaseProcess) -> None:
    """Kill it and what it has started in its group."""
    if process.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _enter(target: Target, arguments: tuple[object, ...], output: str) -> None:
    lifeline.bind_to(os.getppid())()
    os.setsid()
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    code = target(*arguments)
    sys.exit(code if isinstance(code, int) else 0)
