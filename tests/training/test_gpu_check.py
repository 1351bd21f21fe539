"""The check of one GPU on a CPU, in the smallest sizes: every step runs, and what must hold holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lifeline
from finetune_trainer.models.segment_attention import FAMILIES
from gpu.lines import read_lines
from gpu.registry import STEPS
from gpu.steps.engines import ENGINES

TESTS = Path(__file__).resolve().parent.parent
SECONDS = 500
TRAINING = {"shape", "rows", "length", "first_step_seconds", "step_seconds", "tokens_per_second", "loss"}
KEYS = {
    "E": {"missing_modules"},
    "K": {"loss_fp32", "gradient_fp32", "loss_bf16", "gradient_bf16"},
    "G": {"losses", "more_losses", "kept_in"},
    **dict.fromkeys("SBLFM", TRAINING),
    "R": {"exit_code", "message", "stage_seconds"},
    "C": {"checkpoint_gb", "stall_seconds", "durable_seconds", "verify_seconds", "load_seconds", "host_peak_gb"},
    "D": {"new_tokens", "first_seconds", "tokens_per_second"},
    "H": {"model_gb", "write_seconds"},
    "P": TRAINING,
}
"""Of the first case of each step."""
OF_A_CARD = {"mfu_full", "mfu_causal", "peak_gb", "gpu_busy", "nvidia_smi"}
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """Those of one run; it has ended well."""
    out = tmp_path_factory.mktemp("gpu")
    check = [sys.executable, str(TESTS / "gpu" / "check.py"), "--out", str(out)]
    process = lifeline.start(
        [*check, "--shape", "tiny", "--cpu", "--seconds", str(SECONDS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output, _ = process.communicate()
    found = read_lines(out / "gpu.jsonl")
    assert process.returncode == 0, output + "\n".join(str(line) for line in found if not line.get("ok", True))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_step_runs_and_its_equalities_hold(lines: Lines) -> None:
    ends = {line["step"]: line["status"] for line in lines if "case" not in line}
    assert ends == dict.fromkeys((step.id for step in STEPS), "ok")
    cases = [line for line in lines if "case" in line]
    assert all(line["ok"] for line in cases)
    for step in STEPS:
        first = next(line for line in cases if line["step"] == step.id)
        assert KEYS[step.id] - first.keys() == set(), step.id
    assert {line["case"] for line in cases if line["step"] == "K"} == FAMILIES | {"kernels at 64"}
    precisions = {f"{name}, {precision}" for name in ENGINES for precision in ("FP32", "BF16")}
    assert {line["case"] for line in cases if line["step"] == "G"} == precisions | {"no kernels are built"}
    assert [line["exit_code"] for line in cases if line["step"] == "R"] == [0, 75, 0, 0, 0, 78]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_figure_says_where_it_is_from_and_none_of_a_card_is_made_up(lines: Lines) -> None:
    cases = [line for line in lines if "case" in line]
    assert {line["card"] for line in cases} == {"cpu"}
    assert all({"python", "torch", "transformers", "peft", "deepspeed"} <= line["versions"].keys() for line in cases)
    assert not [line for line in cases if OF_A_CARD & line.keys()]
