"""Where the steps run, what they measure, and the lines that they leave."""

from __future__ import annotations

import gc
import platform
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ParamSpec

import torch

from finetune_trainer.context import StageContext
from finetune_trainer.run.flops import model_flops, peak_flops
from gpu.lines import append_line
from gpu.shapes import Texts
from tiny import tiny_plan

PACKAGES = ("torch", "transformers", "peft", "deepspeed", "accelerate", "triton", "liger-kernel")
GB = 1e9
CHECKS = "checks"
"""Key of a case's figures: whether each of its equalities holds, by name."""
_ERROR_LINES = 12
P = ParamSpec("P")


def the_context() -> StageContext:
    """A stage's context of one rank, which chooses the device."""
    return StageContext.single(tiny_plan(Path()))


def the_device() -> torch.device:
    """Where everything runs: the trainer's own choice."""
    return the_context().device


@cache
def surroundings() -> dict[str, Any]:
    """What every figure belongs to: the card and the versions."""
    device = the_device()
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"card": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "versions": versions}


def finish() -> None:
    """Wait until the card has done what it was given."""
    if the_device().type == "cuda":
        torch.cuda.synchronize()


def elapsed(work: Callable[[], object]) -> float:
    """Seconds of `work`, with what it gave the card."""
    finish()
    began = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - began


def timed_steps(step: Callable[[], object], timed: int, before: int = 2) -> dict[str, float]:
    """Seconds of the first call of `step`, which compiles, and the median of later ones."""
    first = elapsed(step)
    for _ in range(before):
        step()
    return {
        "first_step_seconds": round(first, 3),
        "step_seconds": round(statistics.median(elapsed(step) for _ in range(timed)), 5),
    }


def throughput(model: torch.nn.Module, texts: Texts, seconds: float) -> dict[str, float]:
    """Tokens a second, and on a card of known peak the model FLOPs utilization by both conventions."""
    figures: dict[str, float] = {"tokens_per_second": round(texts.tokens / seconds)}
    peak = peak_flops(the_device())
    if peak:
        needed = model_flops(model).of_tokens(texts.tokens, texts.squared_lengths)
        figures |= {f"mfu_{name}": round(flops / seconds / peak, 4) for name, flops in needed.items()}
    return figures


def peak_memory() -> dict[str, float]:
    """GB that the card held at most since `fresh_memory`; nothing on a CPU."""
    if the_device().type != "cuda":
        return {}
    return {
        "peak_gb": round(torch.cuda.max_memory_allocated() / GB, 2),
        "peak_reserved_gb": round(torch.cuda.max_memory_reserved() / GB, 2),
    }


def fresh_memory() -> None:
    """Give back what a case before this one held."""
    gc.collect()
    if the_device().type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def resident_gb() -> float:
    """Most memory of the host that this process has held (`VmHWM`)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(kilobytes) * 1024 / GB, 3)


def relative(value: torch.Tensor | float, expected: torch.Tensor | float) -> float:
    """Norm of the difference over that of `expected`."""
    a, b = (torch.as_tensor(x, dtype=torch.float64, device="cpu").flatten() for x in (value, expected))
    return float((a - b).norm() / b.norm())


class Recorder:
    """Runs the cases of one step and writes a line of each as soon as it is known."""

    def __init__(self, step: str, path: Path) -> None:
        self._step = step
        self._path = path
        self.failed: list[str] = []
        """Names of cases that ended in an error or with an equality that does not hold."""

    def case(
        self, name: str, run: Callable[P, Mapping[str, Any]], /, *arguments: P.args, **options: P.kwargs
    ) -> dict[str, Any]:
        """Write the figures that `run` returns, or its error; the next case runs whatever comes. Returns the line."""
        fresh_memory()
        began = time.perf_counter()
        line: dict[str, Any] = {"step": self._step, "case": name}
        try:
            line |= run(*arguments, **options)
            line["ok"] = all(line.get(CHECKS, {}).values())
        except Exception:  # noqa: BLE001 - an error is a result here
            line |= {"ok": False, "error": "\n".join(traceback.format_exc().splitlines()[-_ERROR_LINES:])}
        line |= {"seconds": round(time.perf_counter() - began, 2)} | surroundings()
        if not line["ok"]:
            self.failed.append(name)
        append_line(self._path, line)
        return line
