"""The promise of docs/extending.md: one file and one row for each new thing, and a job runs with all of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.report import EvaluationReport
from training.corpus import pairs

TOYS = Path(__file__).with_name("toys")
EXTENSIONS = {
    # table: (file among the toys, package of the trainer, row)
    "SOURCE_FORMATS": (
        "pipe", "data/sources", '"pipe": SourceFormat(implementation=".pipe:read_pipe", endings=(".pipe",)),'
    ),
    "STORES": ("elsewhere", "workspace/stores", '"elsewhere": Entry(implementation=".elsewhere:elsewhere_path"),'),
    "OBJECTIVES": ("backwards", "objectives", '"Backwards": ObjectiveRow(implementation=".backwards:Backwards"),'),
    "CURRICULA": ("hardest", "curriculum", '"Hardest": Entry(implementation=".hardest:Hardest"),'),
    "METHODS": ("last_layer", "methods", '"LastLayer": Method(implementation=".last_layer:LastLayer"),'),
    "PROMPTS": ("arrow", "prompts", '"Arrow": Entry(implementation=".arrow:Arrow"),'),
    "TASKS": (
        "echo", "tasks",
        '"Echo": Task(implementation=".echo:Echo", segment_metric="LengthError", diagnostics=("empty",)),',
    ),
    "METRICS": (
        "length_error", "metrics",
        '"LengthError": Metric(implementation=".length_error:LengthError", tasks=("Echo", "Translation")),',
    ),
    "DECODINGS": (
        "runner_up", "decoding/searches", '"RunnerUp": DecodingMethod(implementation=".runner_up:RunnerUp"),'
    ),
    "NOISES": ("shout", "evaluation/noises", '"Shout": Entry(implementation=".shout:shout"),'),
    "PROBES": ("ends", "evaluation/probes", '"Ends": Probe(implementation=".ends:Ends", targets=("es",)),'),
    "RIVALS": ("parrot", "evaluation/rivals", '"Parrot": RivalType(implementation=".parrot:open_parrot"),'),
    "TRACKERS": ("ledger", "run/trackers", '"Ledger": Entry(implementation=".ledger:open_ledger"),'),
}  # fmt: skip
SOURCES = ("crds", "operator", "trainer", "cli")
REGISTRIES = "crds/finetune_api/registries.py"
STAGES = "crds/finetune_api/stages.py"

JOB: dict[str, Any] = {
    "apiVersion": "finetune-operator.io/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "toys"},
    "spec": {
        "parallelism": {"engine": "DDP"},
        "model": {
            "scratch": {"layers": 2, "hidden": 64, "heads": 4, "kvHeads": 2, "contextLength": 96},
            "tokenizer": {"train": {"vocabularySize": 400}},
        },
        "data": {
            "sources": [
                {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "elsewhere://ui.pipe"},
            ],
            "split": {"validation": 0.05, "test": 0.05},
        },
        "pretrain": {
            "budget": {"tokens": 16_384},
            "objectives": [
                {"name": "back", "type": "Backwards", "source": "ui"},
                {"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]},
            ],
            "curriculum": {"strategy": "Hardest"},
            "batch": {"globalTokens": 1024, "sequenceLength": 64},
            "validateEverySteps": 5,
        },
        "fuse": {"sources": [{"uri": "elsewhere://teacher"}]},
        "adapt": {
            "method": "LastLayer",
            "task": {"type": "Echo", "source": "ui", "maxExamples": 200},
            "prompts": {"template": "Arrow"},
            "batch": {"globalTokens": 1536, "sequenceLength": 96},
        },
        "evaluate": {
            "tasks": [
                {"name": "echo", "type": "Echo", "source": "ui", "metrics": ["LengthError"], "maxSegments": 8,
                 "maxNewTokens": 16},
                {"name": "mt", "source": "ui", "direction": "en-es", "metrics": ["chrF++", "LengthError"],
                 "maxSegments": 8, "maxNewTokens": 16, "robustness": ["Shout"],
                 "decoding": {"method": "RunnerUp"}},
            ],
            "rivals": [{"name": "polly", "type": "Parrot"}],
            "bias": {"probes": ["Ends"]},
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A copy of the sources with every toy in its place."""
    folder = tmp_path_factory.mktemp("extended")
    for name in SOURCES:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    registries = (folder / REGISTRIES).read_text(encoding="utf-8")
    for table, (toy, package, row) in EXTENSIONS.items():
        shutil.copyfile(TOYS / f"{toy}.py", folder / "trainer/finetune_trainer" / package / f"{toy}.py")
        head, declared, tail = registries.partition(f"\n{table}: ")
        opening, brace, entries = tail.partition("{")
        assert declared
        registries = f"{head}{declared}{opening}{brace}\n    {row}\n    {entries}"
    (folder / REGISTRIES).write_text(registries, encoding="utf-8")
    shutil.copyfile(TOYS / "fuse.py", folder / "trainer/finetune_trainer/stages/fuse.py")
    stages = (folder / STAGES).read_text(encoding="utf-8")
    row = '"fuse": StageDescription('
    assert row in stages
    (folder / STAGES).write_text(stages.replace(row, f'{row}implementation=".fuse:run", '), encoding="utf-8")
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for name in SOURCES for path in (folder / name).rglob("*.py"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_each_thing_is_one_file_and_the_table(extended: Path, root: Path) -> None:
    before, after = files_of(root), files_of(extended)
    assert {name for name in before if before[name] != after[name]} == {REGISTRIES, STAGES}
    assert len(after) - len(before) == len(EXTENSIONS) + 1


@pytest.mark.timeout(300)
def test_a_job_runs_with_all_of_them(extended: Path, tmp_path: Path) -> None:
    (tmp_path / "ui.pipe").write_text("".join(f"{en} | {es}\n" for en, es in pairs(600)), encoding="utf-8")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(JOB), encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(extended / name) for name in SOURCES),
        "ELSEWHERE": str(tmp_path),
        "LEDGER": "ledger.txt",
    }
    finetune = Path(sys.executable).with_name("finetune")
    done = subprocess.run(
        [finetune, "run", "job.yaml"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

    workspace = tmp_path / "runs/toys"
    rows = [json.loads(line) for line in (workspace / "models/pretrain/history.jsonl").read_text().splitlines()]
    assert set(rows[-1]["arms"]) == {"back:en", "back:es", "mt:en-es"}
    assert rows[-1]["loss"] < rows[1]["loss"]
    assert (workspace / "pretrain-ledger.txt").read_text().splitlines()[:2] == ["from -1", "step 0"]

    assert (workspace / "models/fuse/model.safetensors").is_file()
    report = EvaluationReport.model_validate_json((workspace / "reports/report.json").read_text(encoding="utf-8"))
    assert report.baseline is not None
    assert (report.model.name, report.baseline.name) == ("adapted", "fused")
    echo, translation = report.tasks
    assert [score.metric for score in echo.scores] == ["LengthError"]
    assert [score.metric for score in translation.scores] == ["chrF++", "LengthError"]
    assert (echo.type, echo.direction, set(echo.diagnostics)) == ("Echo", None, {"empty"})
    assert [rival.name for rival in translation.rivals] == ["polly"]
    assert echo.rivals == []
    assert (echo.decoding, translation.decoding) == ("Greedy", "RunnerUp")
    assert [noised.noise for noised in translation.robustness] == ["Shout"]
    (bias,) = report.bias
    assert (bias.probe, bias.sentences, sum(bias.shares.values())) == ("Ends", 2, 1.0)
    assert any("It echoes." in note for note in report.notes)
    page = (workspace / "reports/report.html").read_text(encoding="utf-8")
    assert "LengthError, higher is better" in page


def test_a_name_that_is_not_in_the_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(JOB), encoding="utf-8")
    finetune = Path(sys.executable).with_name("finetune")
    done = subprocess.run([finetune, "lint", "job.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    names = ("Backwards", "Hardest", "LastLayer", "Arrow", "Echo", "LengthError", "Parrot", "Shout", "RunnerUp", "Ends")
    for name in names:
        assert name in done.stdout + done.stderr
