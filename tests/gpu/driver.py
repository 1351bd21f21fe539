"""Runs the steps one after the other within a time limit, and says what became of each."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune_trainer.pod.environment import set_defaults
from gpu.lines import append_line, read_lines
from gpu.processes import end, start
from gpu.registry import STEPS, Step
from training.warm_process import WITHOUT_THREADS

LINES, LOG = "gpu.jsonl", "gpu.log"
NOT_ON_ONE_CARD = (
    "NCCL between ranks (it refuses two ranks on one GPU), ZeRO's partitions over several cards, RDMA between nodes"
)
TINY_SECONDS = 300
"""Limit of a step on a CPU, which may be busy with other things."""
_LAST_LINES = 12
State = Literal["ok", "failed", "timed out", "not run"]


@dataclass(frozen=True)
class Outcome:
    """What became of a step."""

    step: Step
    state: State
    seconds: float
    detail: str = ""

    def line(self) -> dict[str, Any]:
        """The last line of a step in the file; lines of its cases come before."""
        told = {"step": self.step.id, "title": self.step.title, "status": self.state, "seconds": round(self.seconds, 1)}
        return told | ({"error": self.detail} if self.detail else {})


def run_steps(out: Path, scale: str, seconds: float, steps: Sequence[Step] = STEPS) -> list[Outcome]:
    """Run all steps for which there is time; what an earlier run left in `out` is replaced."""
    out.mkdir(parents=True, exist_ok=True)
    lines = out / LINES
    for path in (lines, out / LOG):
        path.unlink(missing_ok=True)
    deadline = time.monotonic() + seconds
    outcomes = []
    with tempfile.TemporaryDirectory() as extensions:
        os.environ |= {"TORCH_EXTENSIONS_DIR": extensions, "CUBLAS_WORKSPACE_CONFIG": ":4096:8", **WITHOUT_THREADS}
        set_defaults()
        for step in steps:
            outcome = _run(step, out, scale, deadline - time.monotonic(), seconds)
            append_line(lines, outcome.line())
            outcomes.append(outcome)
    return outcomes


def _run(step: Step, out: Path, scale: str, left: float, total: float) -> Outcome:
    if left < step.seconds / 2:
        return Outcome(step, "not run", 0.0, f"of {total:.0f} s there were {max(left, 0):.0f} left")
    began = time.monotonic()
    log = out / LOG
    with log.open("a", encoding="utf-8") as file:
        file.write(f"=== {step.id} {step.title}\n")
    process = start(run_step, step, scale, str(out / LINES), output=log)
    process.join(min(step.seconds if scale == "full" else TINY_SECONDS, left))
    timed_out = process.is_alive()
    end(process)
    seconds = time.monotonic() - began
    if timed_out:
        return Outcome(step, "timed out", seconds, f"stopped after {seconds:.0f} s\n{last_lines(log)}")
    if process.exitcode == 0:
        return Outcome(step, "ok", seconds)
    wrong = [line["case"] for line in read_lines(out / LINES) if line["step"] == step.id and not line["ok"]]
    detail = f"cases: {'; '.join(wrong)}" if wrong else f"ended with {process.exitcode}\n{last_lines(log)}"
    return Outcome(step, "failed", seconds, detail)


def run_step(step: Step, scale: Any, lines: str) -> int:
    """What the process of a step does."""
    from gpu.measure import Recorder

    recorder = Recorder(step.id, Path(lines))
    step.find()(recorder, scale)
    return 1 if recorder.failed else 0


def last_lines(path: Path) -> str:
    """The end of what the last step printed."""
    printed = path.read_text(encoding="utf-8", errors="replace").rpartition("=== ")[2].splitlines()[1:]
    return "\n".join(printed[-_LAST_LINES:])
