"""The command line, as far as it needs no torch."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_api import labels
from finetune_api.stage_result import StageResult, parse_termination_message
from finetune_trainer.pod.main import main
from unit.pod.plans import make_plan


@pytest.fixture(autouse=True)
def _unchanged_process() -> Iterator[None]:
    """`main` configures the process; put back what it changes."""
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)


@pytest.fixture
def termination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination.json"
    monkeypatch.setenv(labels.ENV_TERMINATION_LOG, str(path))
    return path


def result_in(path: Path) -> StageResult:
    result = parse_termination_message(path.read_text(encoding="utf-8"))
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{", "plan.json"),
        ("\N{SNOWMAN}", "plan.json"),
        ('{"stage": "pretrain", "extra": 1}', "extra"),
    ],
)
def test_a_bad_plan_is_one_plain_message(
    content: str | None, said: str, tmp_path: Path, termination: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    if content is not None:
        plan.write_text(content, encoding="utf-8")
    assert main(["pretrain", "--plan", str(plan)]) == 64
    captured = capsys.readouterr()
    assert said in captured.out
    assert len(captured.out.splitlines()) == 1
    assert "Traceback" not in captured.out + captured.err
    error = result_in(termination).error
    assert error is not None
    assert error.reason == "BadPlan"
    assert said in error.message


def test_a_plan_of_another_stage_is_refused(tmp_path: Path, termination: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(make_plan(tmp_path).model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
    assert main(["adapt", "--plan", str(path)]) == 64
    assert "pretrain, not for adapt" in termination.read_text(encoding="utf-8")


def test_a_stage_that_is_not_there_yet_is_refused(tmp_path: Path, termination: Path) -> None:
    path = tmp_path / "plan.json"
    plan = make_plan(tmp_path, stage="fuse")
    path.write_text(plan.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
    assert main(["fuse", "--plan", str(path)]) == 64
    error = result_in(termination).error
    assert error is not None
    assert error.reason == "NotSupported"


def test_wrong_usage_is_64_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nonsense"])
    assert caught.value.code == 64
    assert "usage: finetune-trainer" in capsys.readouterr().err


def test_starting_costs_no_torch(tmp_path: Path) -> None:
    code = "import sys, finetune_trainer.pod.main; print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout.replace("'", '"')) == []
