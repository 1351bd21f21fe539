"""The driver of the GPU check, its bundle and its table, with steps of no content."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from gpu import bundle, driver, processes, table
from gpu.lines import append_line, read_lines
from gpu.registry import STEPS, Step
from unit.harness import gpu_steps

CARD = "NVIDIA H100 80GB HBM3"
CHECK = Path(driver.__file__).with_name("check.py")
RunSteps = Callable[..., tuple[list[driver.Outcome], list[dict[str, Any]]]]


def step(function: str, seconds: int = 100) -> Step:
    return Step(function[0].upper(), function, f"{gpu_steps.__name__}:{function}", seconds)


@pytest.fixture
def run_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSteps:
    """Outcomes and lines of steps whose processes are forks of the test."""
    for name in ("TORCH_EXTENSIONS_DIR", "CUBLAS_WORKSPACE_CONFIG", "JE_ARROW_MALLOC_CONF"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
    monkeypatch.setattr(processes, "process_context", lambda: multiprocessing.get_context("fork"))

    def run(*steps: Step, seconds: float = 500.0) -> tuple[list[driver.Outcome], list[dict[str, Any]]]:
        return driver.run_steps(tmp_path, "full", seconds, steps), read_lines(tmp_path / driver.LINES)

    return run


def test_whatever_becomes_of_a_step_is_told_and_the_next_one_runs(run_steps: RunSteps) -> None:
    outcomes, lines = run_steps(step("uneven"), step("breaks"), step("hangs", seconds=2), step("good"))
    assert [outcome.state for outcome in outcomes] == ["failed", "failed", "timed out", "ok"]
    assert outcomes[0].detail == "cases: false; raises"
    assert outcomes[1].detail == "ended with -9\nthe last words"
    assert outcomes[2].detail.splitlines()[1:] == ["waiting"]
    assert [(line["step"], line.get("case"), line.get("ok"), line.get("status")) for line in lines] == [
        ("U", "false", False, None),
        ("U", "raises", False, None),
        ("U", "true", True, None),
        ("U", None, None, "failed"),
        ("B", None, None, "failed"),
        ("H", None, None, "timed out"),
        ("G", "sum", True, None),
        ("G", None, None, "ok"),
    ]
    assert lines[1]["error"].splitlines()[-1] == "ValueError: no such thing"
    assert lines[6]["card"] == "cpu"
    assert lines[6]["versions"].keys() >= {"python", "torch"}


def test_steps_without_time_are_told_as_not_run(run_steps: RunSteps) -> None:
    outcomes, lines = run_steps(step("good", seconds=100), step("uneven", seconds=10), seconds=20)
    assert [outcome.state for outcome in outcomes] == ["not run", "failed"]
    assert lines[0] == {
        "step": "G", "title": "good", "status": "not run", "seconds": 0.0, "error": "of 20 s there were 20 left"
    }  # fmt: skip


def test_full_sizes_are_refused_without_a_card(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECK), "--out", str(tmp_path), "--cpu"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert told.stderr == "No NVIDIA GPU is here. --shape tiny runs the same steps on a CPU.\n"
    assert list(tmp_path.iterdir()) == []


def test_every_step_is_there() -> None:
    assert sorted(step.id for step in STEPS) == sorted("EKGSBMLFPCHDR")
    assert all(callable(step.find()) for step in STEPS)


def test_figures_that_are_no_numbers_become_text(tmp_path: Path) -> None:
    append_line(tmp_path / "lines", {"a": [float("nan"), 1.0], "b": {"c": float("-inf")}})
    assert read_lines(tmp_path / "lines") == [{"a": ["nan", 1.0], "b": {"c": "-inf"}}]
    assert read_lines(tmp_path / "none") == []


def test_the_lock_has_what_the_bundle_takes() -> None:
    constraints = bundle.CONSTRAINTS.read_text(encoding="utf-8")
    blocks = bundle.locked(constraints, set(bundle.MODULES.values()))
    assert [block.partition("==")[0] for block in blocks] == sorted(bundle.MODULES.values())
    assert all("--hash=sha256:" in block for block in blocks)
    with pytest.raises(KeyError, match="torch-of-nobody"):
        bundle.locked(constraints, {"torch-of-nobody"})


def test_a_bundle_is_importable_where_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with zipfile.ZipFile(tmp_path / "bundle" / "toy-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy.py", "VALUE = 3\n")
        wheel.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    site = bundle.unpack(tmp_path / "bundle", tmp_path / "site")
    assert (site / "toy.py").read_text() == "VALUE = 3\n"
    versions = {found.name: found.version for found in distributions(path=[str(site)])}
    assert versions.keys() == {"toy", "finetune-operator"}


def card_line(**figures: Any) -> dict[str, Any]:
    return {"case": "DDP", "ok": True, "card": CARD, "versions": {"torch": "2.11.0"}} | figures


def test_the_table_says_what_was_measured_and_what_was_not() -> None:
    lines = [
        card_line(step="S", tokens_per_second=351234, mfu_full=0.4567, mfu_causal=0.4, peak_gb=12.34),
        card_line(step="K", case="llama"),
        card_line(step="K", case="gpt2", ok=False, checks={"loss in bf16": False, "loss in fp32": True}),
        {"step": "K", "title": "kernels", "status": "failed", "seconds": 3.0},
        card_line(step="S", case="ZeRO-2", ok=False, error="Traceback\nRuntimeError: a | b"),
        {"step": "S", "title": "135M", "status": "failed", "seconds": 3.0},
    ]
    rows = table.section(lines).splitlines()
    assert rows[0] == f"Measured on one {CARD}: torch 2.11.0."
    assert rows[4:8] == [
        "| E | environment | not run |",
        "| K | kernels: one result on CPU and card | failed: 1 of 2 cases hold |",
        "| | gpt2 | **not so: loss in bf16** |",
        "| G | engines: equal losses, exact resume | not run |",
    ]
    assert rows[8:11] == [
        "| S | 135M, all weights | failed: 1 of 2 cases hold |",
        "| | DDP | 351,234 tokens/s, MFU 45.7%, causal 40.0%, 12.3 GB |",
        "| | ZeRO-2 | **RuntimeError: a / b** |",
    ]


def test_figures_of_a_cpu_or_of_two_cards_are_no_table() -> None:
    with pytest.raises(ValueError, match="figures of a GPU are wanted, these are of cpu"):
        table.section([card_line(step="S", card="cpu")])
    with pytest.raises(ValueError, match=f"these are of NVIDIA A10 and {CARD}"):
        table.section([card_line(step="S"), card_line(step="S", card="NVIDIA A10")])


def test_the_page_has_what_the_generator_writes() -> None:
    text = table.PAGE.read_text(encoding="utf-8")
    assert table.page(text, read_lines(table.LINES)) == text
    assert table.page(text, [card_line(step="S")]) != text
