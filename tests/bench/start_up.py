"""From the start of a pod's process to its first step, by parts, and what a pod of one and of two ranks takes.

`python tests/bench/start_up.py [--rounds 3]`. Seconds of CPU beside those of the clock: the first hold on a busy
machine. One thread a rank; a model and a corpus so small that all but the start takes next to nothing.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
IN_PARTS = "--in-parts"
PARTS = (
    "interpreter, contract and pod", "torch", "models of transformers", "the rest of the recipe", "agent of torchrun",
    "data", "model", "engine", "first step",
)  # fmt: skip


def measured(plan: Path) -> None:
    """In a process of its own: import what a rank imports, train, and print what each part took."""
    marks = [(0.0, 0.0)]

    def mark() -> None:
        marks.append((time.process_time(), time.clock_gettime(time.CLOCK_MONOTONIC) - born()))

    from finetune_trainer.pod import environment, main
    from finetune_trainer.registry import quick_imports

    environment.set_defaults()
    mark()
    with quick_imports():
        import torch  # noqa: F401

        mark()
        from transformers import AttentionInterface, MistralForCausalLM  # noqa: F401

        mark()
    training: Any = importlib.import_module("finetune_trainer.run.stage")
    pretrain: Any = importlib.import_module("finetune_trainer.stages.pretrain")

    mark()
    from torch.distributed.launcher.api import elastic_launch  # noqa: F401

    mark()
    from finetune_trainer.context import StageContext

    build, create = pretrain._model, training.create_engine

    def model(*given: Any) -> Any:
        mark()  # the data are there
        built = build(*given)
        mark()
        return built

    def engine(*given: Any) -> Any:
        made = create(*given)
        mark()
        step = made.step

        def first(*given: Any, **options: Any) -> Any:
            done = step(*given, **options)
            mark()
            made.step = step
            return done

        made.step = first
        return made

    training.create_engine, pretrain._model = engine, model
    pretrain.run(StageContext.single(main.load_plan(plan, "pretrain")))
    for (cpu, clock), (cpu_before, clock_before) in zip(marks[1:], marks, strict=False):
        print(f"{cpu - cpu_before:.3f} {clock - clock_before:.3f}")


def born() -> float:
    """When this process began, on the monotonic clock."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    boot = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return ticks / os.sysconf("SC_CLK_TCK") - boot


def run(*command: str) -> tuple[str, float, float]:
    """Output of a Python program, its seconds of CPU and of the clock, children included."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FINETUNE_POD_IP": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, *command],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tempfile.gettempdir(),
    )
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, cpu, seconds


def main() -> None:
    """Prepare the data once, start everything `rounds` times, print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        plans = {ranks: plan(Path(folder) / str(ranks), ranks) for ranks in (1, 2)}
        parts = [run(__file__, IN_PARTS, str(plans[1]))[0] for _ in range(rounds)]
        print(f"{'part':32} {'CPU s':>7} {'clock s':>8}")
        for name, lines in zip(PARTS, zip(*(text.splitlines() for text in parts), strict=True), strict=True):
            print_row(name, [tuple(map(float, line.split())) for line in lines])
        for ranks, path in plans.items():
            taken = []
            for _ in range(rounds):
                shutil.rmtree(path.parent / "models", ignore_errors=True)  # or there would be nothing to do
                _, cpu, clock = run("-m", "finetune_trainer", "pretrain", "--plan", str(path))
                taken.append((cpu, clock))
            print_row(f"pod of {ranks} rank(s), to its end", taken)


def print_row(name: str, taken: Sequence[Sequence[float]]) -> None:
    """Medians of (CPU, clock)."""
    cpu, clock = (statistics.median(values) for values in zip(*taken, strict=True))
    print(f"{name:32} {cpu:7.2f} {clock:8.2f}", flush=True)


def plan(workspace: Path, ranks: int) -> Path:
    """A plan of one step whose workspace has the data; its fingerprint changes nothing that is there."""
    sys.path.insert(0, str(TESTS))
    from training.prepared import make_plan, prepare_data, pretrain_spec

    corpus, data = prepare_data(workspace)
    layout = {"nodes": 1, "processesPerNode": ranks, "engine": "DDP"}
    spec = pretrain_spec(corpus, 1, parallelism=layout, curriculum={"strategy": "Fixed"})
    inputs = {"prepare": data.relative_to(workspace).as_posix()}
    made = make_plan(workspace, "pretrain", spec, inputs=inputs, processes_per_node=ranks)
    path = workspace / "plan.json"
    path.write_text(made.model_dump_json(by_alias=True), encoding="utf-8")
    return path


if __name__ == "__main__":
    if IN_PARTS in sys.argv:
        measured(Path(sys.argv[-1]))
    else:
        main()
