"""Time and imports of the command line: `python tests/bench/cli_start.py [--repeat 5]`.

Each command is run in a process of its own; the times are the shortest of all repetitions. The job is the quickstart's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FINETUNE = Path(sys.executable).with_name("finetune")
JOB = str(ROOT / "manifests" / "quickstart" / "job.yaml")
COMMANDS = (("--help",), ("run", "--help"), ("version",), ("lint", JOB), ("plan", JOB), ("status",))
STATUS = {"state": "Pending"}


def main() -> int:
    """Print one table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    print("| finetune | wall, s | CPU, s | modules |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder)
        for arguments in COMMANDS:
            times = [measure(folder, *arguments) for _ in range(repeat)]
            wall, cpu = (min(values) for values in zip(*times, strict=True))
            shown = " ".join(Path(argument).name for argument in arguments)
            print(f"| {shown} | {wall:.2f} | {cpu:.2f} | {count_modules(folder, *arguments)} |", flush=True)
    return 0


def write_run(folder: Path) -> None:
    """The folder of a run for `finetune status`: what `finetune plan` makes of the job."""
    planned = subprocess.run([FINETUNE, "plan", JOB, "--output", "json"], capture_output=True, check=True).stdout
    workspace = folder / "runs" / "quickstart"
    workspace.mkdir(parents=True)
    (workspace / "job.json").write_text(json.dumps(json.loads(planned)["job"] | {"status": STATUS}), encoding="utf-8")


def measure(folder: Path, *arguments: str) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    began, before = time.perf_counter(), os.times()
    subprocess.run([FINETUNE, *arguments], cwd=folder, capture_output=True, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu


def count_modules(folder: Path, *arguments: str) -> int:
    """Modules that a run imports."""
    command = [sys.executable, "-X", "importtime", str(FINETUNE), *arguments]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stderr
    return sum(line.startswith("import time:") for line in told.splitlines()) - 1  # the heading


if __name__ == "__main__":
    raise SystemExit(main())
