"""What `finetune plan` says that a rank takes is what torch allocates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ACCURACY = 0.1


@pytest.mark.timeout(900)
def test_the_memory_model_is_within_a_tenth_of_what_is_allocated() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "memory_meter"], cwd=TESTS, capture_output=True, text=True, check=False, timeout=880
    )
    assert run.returncode == 0, run.stderr[-2000:]
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert {case["case"]["engine"] for case in results} == {"DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3"}
    for result in results:
        deviation = result["planned"] / result["measured"] - 1.0
        assert abs(deviation) < ACCURACY, (result["case"], f"{deviation:+.1%}", result["parts"])
