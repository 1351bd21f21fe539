"""The whole pipeline from the outside: the command typed, the manifest applied, the report read."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
import yaml
from transformers import AutoModelForCausalLM

import lifeline
from training.corpus import write_tsv

FINETUNE = Path(sys.executable).with_name("finetune")
DEADLINE_SECONDS = 600.0
FIRST_OUTPUT = "first-run.out"
ROWS = 800
pytestmark = pytest.mark.timeout(1500)


def manifest(folder: Path, **changes: Any) -> Path:
    """A two-rank job on the tiny corpus."""
    spec: dict[str, Any] = {
        "parallelism": {"nodes": 2, "zero": {"stage": 2}},
        "model": {
            "scratch": {"layers": 2, "hidden": 64, "heads": 4, "kvHeads": 2, "contextLength": 96},
            "tokenizer": {"train": {"vocabularySize": 512}},
        },
        "data": {
            "sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}],
            "split": {"validation": 0.05, "test": 0.05},
        },
        "pretrain": {
            "budget": {"tokens": 61_440},
            "objectives": [
                {"name": "en", "type": "CausalLM", "source": "ui", "language": "en"},
                {"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]},
            ],
            "batch": {"globalTokens": 1024, "sequenceLength": 64},
            "optimizer": {"learningRate": 3.0e-3},
            "validateEverySteps": 20,
        },
        "adapt": {
            "method": "LoRA",
            "lora": {"rank": 8, "alpha": 16, "dropout": 0.0},
            "task": {"source": "ui", "direction": "en-es"},
            "batch": {"globalTokens": 1536, "sequenceLength": 96},
            "optimizer": {"learningRate": 5.0e-3},
            "maxExamples": 600,
        },
        "evaluate": {"tasks": [{"name": "en-es", "source": "ui", "direction": "en-es", "shots": [0, 1],
                                "maxSegments": 40, "maxNewTokens": 24}]},
        "checkpoint": {"everySteps": 10},
    }  # fmt: skip
    for field, value in changes.items():
        *parents, last = field.split("__")
        target = spec
        for parent in parents:
            target = target[parent]
        target[last] = value
    if spec["adapt"] and "maxExamples" in spec["adapt"]:
        spec["adapt"]["task"]["maxExamples"] = spec["adapt"].pop("maxExamples")
    job = {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tiny"},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `finetune` in a folder, by default an own one; whatever is left at the end is stopped by pid."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, folder: Path = tmp_path) -> subprocess.Popen[str]:
        process = lifeline.start(
            [FINETUNE, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def job_of(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "runs/tiny/job.json").read_text(encoding="utf-8"))
    return value


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
    """Poll until `condition`; fails if the process ends first or the deadline passes."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert process.poll() is None, f"ended before {what}: {process.communicate()}"
        assert time.monotonic() < deadline, f"no {what} in time"
        time.sleep(0.1)


def is_training(folder: Path, stage: str, step: int) -> bool:
    try:
        status = job_of(folder)["status"]
        return bool(status["currentStage"] == stage and status["progress"]["step"] >= step)
    except (OSError, KeyError, ValueError):
        return False


def rank_processes(folder: Path) -> list[int]:
    """Process ids of the ranks of this folder's run: the innermost processes of its pods."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if "finetune-trainer" in command and f"{folder}/" in command + environment:
            parents[int(entry.name)] = parent
    return sorted(set(parents) - set(parents.values()))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run of the whole pipeline."""
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture
def finished(pipeline: Path, start: Callable[..., subprocess.Popen[str]]) -> Path:
    """`pipeline` with its manifest, when the job has succeeded."""
    path = manifest(pipeline, evaluate__publish="ConfigMap")
    if not (pipeline / FIRST_OUTPUT).exists():
        write_tsv(pipeline / "ui.tsv", ROWS)
        code, out, err = finish(start("run", str(path), folder=pipeline))
        assert code == 0, out + err
        (pipeline / FIRST_OUTPUT).write_text(out, encoding="utf-8")
    return pipeline


def final_losses(folder: Path) -> dict[str, float]:
    return {s["name"]: s["summary"]["loss"] for s in job_of(folder)["status"]["stages"] if "loss" in s["summary"]}


def test_one_manifest_runs_the_whole_pipeline_and_a_second_run_is_a_no_op(
    finished: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    out = (finished / FIRST_OUTPUT).read_text(encoding="utf-8")
    workspace = finished / "runs/tiny"
    status = job_of(finished)["status"]
    assert [(s["name"], s["state"]) for s in status["stages"]] == [
        ("prepare", "Succeeded"), ("pretrain", "Succeeded"), ("adapt", "Succeeded"), ("evaluate", "Succeeded")
    ]  # fmt: skip
    assert {c["type"]: c["status"] for c in status["conditions"]}["Succeeded"] == "True"
    assert "report.html" in out
    assert "<svg" in (workspace / "reports/report.html").read_text(encoding="utf-8")

    report = json.loads((workspace / "reports/report.json").read_text(encoding="utf-8"))
    (stored,) = workspace.glob(".finetune/objects/ConfigMap/*/*-report.json")
    published = json.loads(stored.read_text(encoding="utf-8"))["object"]
    assert json.loads(published["data"]["report.json"]) == report
    pretrain = next(s for s in status["stages"] if s["name"] == "pretrain")["summary"]
    assert pretrain["validationLoss"] < pretrain["firstValidationLoss"]
    for task in report["tasks"]:
        with (workspace / task["hypotheses"]).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        hypotheses = [row["hypothesis"] for row in rows]
        references = [row["reference"] for row in rows]
        bleu = next(s for s in task["scores"] if s["metric"] == "BLEU")
        assert bleu["score"] == pytest.approx(sacrebleu.corpus_bleu(hypotheses, [references]).score, abs=1e-9)

    printed = "".join(path.read_text(encoding="utf-8") for path in (workspace / "logs").glob("*.log"))
    assert "pretrain is done" in printed
    assert "WARNING" not in printed

    reasons = [json.loads(line)["reason"] for line in (workspace / "events.jsonl").read_text().splitlines()]
    assert reasons.count("StageCompleted") == 4
    assert "EvaluationReported" in reasons

    before = job_of(finished)
    code, out, err = finish(start("run", "job.yaml", folder=finished))
    assert code == 0, out + err
    assert job_of(finished)["status"]["stages"] == before["status"]["stages"]
    folder = finished.resolve() / "runs/tiny/models/adapt"
    assert f"Model: {folder} (a Hugging Face folder)" in out
    assert AutoModelForCausalLM.from_pretrained(folder) is not None
    assert "  finetune translate tiny < text\n" in out
    assert "en-es zero-shot, the first 3 of 40 segments\n" in out
    code, out, _ = finish(start("run", "job.yaml", "--output", "json", folder=finished))
    assert code == 0
    *changes, last = [json.loads(line) for line in out.splitlines()]
    assert last["status"]["state"] == changes[-1]["state"] == "Succeeded"
    code, out, _ = finish(start("report", "tiny", folder=finished))
    assert code == 0
    assert "chrF++" in out


@pytest.mark.parametrize("shots", [0, 1])
def test_the_model_of_a_run_translates_lines_as_its_evaluation_did(shots: int, finished: Path) -> None:
    with (finished / f"runs/tiny/reports/en-es.{shots}shot.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    text = "".join(f"{row['source']}\n" for row in rows[:20]) + "\n"
    command = [str(FINETUNE), "translate", "tiny", *(["--shots", "0"] if shots == 0 else [])]
    result = subprocess.run(
        command, cwd=finished, input=text.encode(), capture_output=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert (result.returncode, result.stderr.decode()) == (0, "")
    *answers, last, end = result.stdout.decode().split("\n")
    assert (last, end) == ("", "")
    assert len(answers) == 20
    # Sums of another batch differ in their last bits, and may decide between two tokens that are alike to the model.
    assert sum(answer == row["hypothesis"] for answer, row in zip(answers, rows, strict=False)) >= 18


LOG_LINE = re.compile(r"\d\d:\d\d:\d\d (rank \d )?(?!(WARNING|ERROR|CRITICAL) )\S.*")


def test_pods_log_in_one_form_and_warn_of_nothing(finished: Path) -> None:
    logs = list((finished / "runs/tiny/logs").glob("*.log"))
    assert len(logs) > 4
    for log in logs:
        odd = [line for line in log.read_text(encoding="utf-8").splitlines() if not LOG_LINE.fullmatch(line)]
        assert odd == [], log.name


def test_a_killed_rank_and_ctrl_c_change_nothing_in_the_result(
    tmp_path: Path, finished: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    write_tsv(tmp_path / "ui.tsv", ROWS)
    arguments = ("run", str(manifest(tmp_path, evaluate=None)))
    process = start(*arguments)
    wait_for(lambda: is_training(tmp_path, "pretrain", 12), process, "step 12")
    os.kill(rank_processes(tmp_path)[0], signal.SIGKILL)
    wait_for(lambda: job_of(tmp_path)["status"]["restarts"] == 1, process, "restart")
    wait_for(lambda: is_training(tmp_path, "pretrain", 25), process, "step 25")
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130, out + err
    assert "Go on with: finetune run" in out
    assert rank_processes(tmp_path) == []

    code, out, err = finish(start(*arguments))
    assert code == 0, out + err
    assert final_losses(tmp_path).keys() == {"pretrain", "adapt"}
    assert final_losses(tmp_path) == pytest.approx(final_losses(finished), abs=1e-6)


def test_a_run_whose_process_was_killed_is_told_as_stopped_and_goes_on_without_a_restart(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    write_tsv(tmp_path / "ui.tsv", 400)
    path = manifest(tmp_path, evaluate=None, adapt=None)
    process = start("run", str(path))
    wait_for(lambda: is_training(tmp_path, "pretrain", 12), process, "step 12")
    process.kill()
    process.communicate()
    stopped = time.monotonic()
    assert job_of(tmp_path)["status"]["state"] == "Running", "who is killed writes nothing"

    code, out, err = finish(start("status"))
    assert code == 0, err
    assert "Stopped because its process ended at" in out
    assert f"Go on with: finetune run {path}" in out
    code, out, _ = finish(start("status", "-o", "json"))
    assert json.loads(out)["status"]["state"] == "Suspended"

    gap = time.monotonic() - stopped
    code, out, err = finish(start("run", str(path)))
    assert code == 0, out + err
    status = job_of(tmp_path)["status"]
    assert status["restarts"] == 0
    assert set(status["goodput"]["lostSeconds"]) == {"Suspended"}
    assert status["goodput"]["lostSeconds"]["Suspended"] > gap
    code, out, _ = finish(start("status"))
    assert "Stopped" not in out

    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["spec"]["pretrain"]["budget"]["tokens"] //= 4
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    code, out, err = finish(start("run", str(path)))
    assert code == 0, out + err
    assert "changed since the last run: spec.pretrain" in err
    prepare, pretrain = job_of(tmp_path)["status"]["stages"]
    assert prepare["message"].startswith("unchanged · ")
    assert not pretrain["message"].startswith("unchanged")

    with (tmp_path / "ui.tsv").open("a", encoding="utf-8") as file:
        file.write("Save the last file\tGuardar el último archivo\n")
    code, out, err = finish(start("run", str(path)))
    assert code == 0, out + err
    assert f"changed since the last run: {tmp_path.resolve() / 'ui.tsv'}" in err
    prepare, pretrain = job_of(tmp_path)["status"]["stages"]
    assert not prepare["message"].startswith("unchanged")
    assert not pretrain["message"].startswith("unchanged")


def test_a_second_run_in_the_same_workspace_is_refused_while_the_first_goes_on(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    write_tsv(tmp_path / "ui.tsv", 400)
    path = manifest(tmp_path, evaluate=None, adapt=None)
    first = start("run", str(path))
    wait_for((tmp_path / "runs/tiny/job.json").exists, first, "job.json")
    code, out, err = finish(start("run", str(path)))
    assert code == 2, out + err
    assert "in use" in err
    assert str(first.pid) in err
    first.send_signal(signal.SIGINT)
    assert finish(first)[0] == 130


def test_bad_data_fails_once_with_line_and_remedy_and_goes_on_when_mended(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    source = write_tsv(tmp_path / "ui.tsv", 300)
    good = source.read_text(encoding="utf-8")
    lines = good.splitlines()
    lines[41] += "\tthird column"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = manifest(tmp_path, evaluate=None, adapt=None, pretrain__budget={"tokens": 4096}, parallelism__nodes=1)
    code, out, err = finish(start("run", str(path)))
    assert code == 1, out + err
    assert "prepare failed" in out
    assert "42" in out
    assert "exit 65, not retried" in out
    assert next(s for s in job_of(tmp_path)["status"]["stages"] if s["name"] == "prepare")["attempt"] == 1

    source.write_text(good, encoding="utf-8")
    code, out, err = finish(start("run", str(path)))
    assert code == 0, out + err


def test_the_workspace_of_another_job_is_refused(finished: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    path = finished / "other.yaml"
    job = (finished / "job.yaml").read_text(encoding="utf-8")
    path.write_text(job.replace("name: tiny", "name: other"), encoding="utf-8")
    before = job_of(finished)
    code, out, err = finish(start("run", "other.yaml", "--workspace", "runs/tiny", folder=finished))
    assert code == 2, out + err
    assert "is used by job tiny" in err
    assert job_of(finished) == before


def test_two_variants_at_once_reuse_the_pretraining_and_replace_nothing(
    finished: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    workspace = finished / "runs/tiny"
    job = yaml.safe_load((finished / "job.yaml").read_text(encoding="utf-8"))
    job["spec"] |= {"lineage": {"parent": "tiny"}, "evaluate": None}
    for rank in (2, 4):
        job["metadata"]["name"] = f"rank-{rank}"
        job["spec"]["adapt"]["lora"]["rank"] = rank
        job["spec"]["adapt"]["task"]["maxExamples"] = 100
        (finished / f"rank-{rank}.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")

    def files() -> dict[str, int]:
        parents = [path for path in workspace.rglob("*") if path.is_file() and "jobs" not in path.parts]
        return {str(path): path.stat().st_mtime_ns for path in parents if ".finetune" not in path.parts}

    before = files()
    both = [start("run", f"rank-{rank}.yaml", folder=finished) for rank in (2, 4)]
    for process in both:
        code, out, err = finish(process)
        assert code == 0, out + err
        assert "parent tiny: prepare, pretrain reused if unchanged; adapt runs anew: spec.adapt.lora.rank" in err
    assert files() == before
    for rank in (2, 4):
        folder = workspace / f"jobs/rank-{rank}"
        status = json.loads((folder / "job.json").read_text(encoding="utf-8"))["status"]
        assert [(s["name"], s["attempt"], s.get("reusedFrom")) for s in status["stages"]] == [
            ("prepare", 1, "tiny"), ("pretrain", 0, "tiny"), ("adapt", 1, None),
        ]  # fmt: skip
        assert status["stages"][2]["artifact"] == f"jobs/rank-{rank}/models/adapt"
        adapter = json.loads((folder / "models/adapt/adapter/adapter_config.json").read_text(encoding="utf-8"))
        assert adapter["r"] == rank
        assert [path.name for path in (folder / "logs").glob("*pretrain*")] == []
