"""Output for files, programs and old locales."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_api.status import FineTuneJobStatus, ProgressStatus
from finetune_cli.display import JsonLinesDisplay, TextLinesDisplay
from finetune_cli.view import progress_line, stage_lines
from unit.cli.commands import finetune
from unit.cli.test_refusals import GOOD, write
from unit.cli.test_view import running_job

LATIN_1 = {"PYTHONIOENCODING": "latin-1"}
ASCII = {"PYTHONIOENCODING": "ascii"}


def test_text_lines_tell_each_stage_once_and_progress_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    job = running_job()
    assert job.status is not None
    with TextLinesDisplay(None) as lines:
        for step in range(310, 330):
            progress = ProgressStatus(step=step, total_steps=500, loss=2.87)
            lines.show(job.model_copy(update={"status": job.status.model_copy(update={"progress": progress})}))
            clock[0] += 1.0
    said = [line[len("12:00:00  ") :] for line in capsys.readouterr().out.splitlines()]
    assert said[:2] == ["✔ prepare    8,012 pairs kept of 9,377", "◷ adapt      attempt 2"]
    assert said[2:] == [f"◷ adapt      step {step}/500 · loss 2.870" for step in (311, 316, 321, 326)]


def test_text_lines_of_a_job_without_status() -> None:
    job = running_job().model_copy(update={"status": None})
    assert stage_lines(job) == []
    assert progress_line(job) is None


def test_json_lines_are_json_with_the_logs_in_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ui-adapt-1-0.log").write_text('loss "2.1" für\n', encoding="utf-8")
    with JsonLinesDisplay(tmp_path) as lines:
        lines.show(running_job())
        lines.show(running_job())
        lines.show(running_job().model_copy(update={"status": FineTuneJobStatus(state="Failed")}))
    log, first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert log == {"log": 'ui-adapt-1-0 | loss "2.1" für'}
    assert (first["step"], second["state"]) == (310, "Failed")


@pytest.mark.parametrize("locale", [LATIN_1, ASCII])
def test_every_command_works_in_an_old_locale(locale: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    good = finetune(tmp_path, "lint", "job.yaml", **locale)
    assert (good.returncode, good.stdout) == (0, "ok job.yaml\n")
    write(tmp_path, GOOD.replace("nodes: 2", "nodes: 0").replace("name: tiny", "name: größe"))
    bad = finetune(tmp_path, "run", "job.yaml", **locale)
    assert bad.returncode == 2
    assert bad.stderr.startswith("x job.yaml:3 metadata.name")
    write(tmp_path, GOOD)
    assert finetune(tmp_path, "plan", "job.yaml", **locale).returncode == 0


@pytest.mark.parametrize("locale", [{}, LATIN_1, ASCII])
def test_json_can_be_parsed_whatever_the_locale_is(locale: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("  pretrain:", "  lineage: {hypothesis: 'größer → 更好 😀'}\n  pretrain:"))
    command: list[str | Path] = [Path(sys.executable).with_name("finetune"), "plan", "job.yaml", "-o", "json"]
    written = subprocess.run(command, cwd=tmp_path, env=os.environ | locale, capture_output=True, check=True)
    assert json.loads(written.stdout)["job"]["spec"]["lineage"]["hypothesis"] == "größer → 更好 😀"
    if jq := shutil.which("jq"):
        query = [jq, "-r", ".job.spec.lineage.hypothesis"]
        found = subprocess.run(query, input=written.stdout, capture_output=True, check=True)
        assert found.stdout.decode() == "größer → 更好 😀\n"
