"""`finetune translate`: with which model, direction and prompts, and why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from finetune_api.evaluation_summary import EvaluationSummary
from finetune_api.job import FineTuneJob
from finetune_cli.segments import segments_view
from finetune_cli.translating import Translation, choose_translation
from unit.cli.commands import finetune

SOURCES = [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]
OBJECTIVE = {"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es", "es-en"]}
PRETRAIN = {"budget": {"tokens": 1}, "objectives": [OBJECTIVE]}
ADAPT = {"task": {"source": "ui", "direction": "es-en"}}
TASK = {"name": "t", "source": "ui", "direction": "en-es", "shots": [0, 1], "maxNewTokens": 24}
DONE = {"prepare": "data/1", "pretrain": "models/pretrain", "adapt": "models/adapt"}


def job(stages: dict[str, str] | None = None, **blocks: Any) -> FineTuneJob:
    status = [{"name": name, "state": "Succeeded", "artifact": path} for name, path in (stages or {}).items()]
    spec = {"model": {"from": {"uri": "m"}}, "data": {"sources": SOURCES}} | blocks
    return FineTuneJob.from_json_object(
        {"metadata": {"name": "tiny"}, "spec": spec, "status": {"state": "Running", "stages": status}}
    )


def chosen(folder: Path, run: FineTuneJob, *wanted: Any) -> Translation:
    for path in ("models/pretrain", "models/adapt"):
        (folder / path).mkdir(parents=True, exist_ok=True)
        (folder / path / "config.json").write_text("{}")
    return choose_translation(run, folder, *(*wanted, None, None, None)[:3])


def test_the_newest_model_translates_as_it_was_adapted(tmp_path: Path) -> None:
    run = job(DONE, pretrain=PRETRAIN, adapt=ADAPT, evaluate={"tasks": [TASK]})
    models = tmp_path / "models"
    assert chosen(tmp_path, run) == Translation(models / "adapt", tmp_path / "data/1", "es-en", 1, 128)
    assert chosen(tmp_path, run, "en-es") == Translation(models / "adapt", tmp_path / "data/1", "en-es", 1, 24)
    assert chosen(tmp_path, run, None, 0, 7) == Translation(models / "adapt", tmp_path / "data/1", "es-en", 0, 7)


def test_a_model_without_one_shot_prompts_gets_none(tmp_path: Path) -> None:
    run = job(DONE, adapt=ADAPT | {"prompts": {"shots": [0]}})
    assert chosen(tmp_path, run).shots == 0
    assert chosen(tmp_path, job(DONE, pretrain=PRETRAIN)).shots == 0
    tested = job(DONE, pretrain=PRETRAIN, evaluate={"tasks": [TASK]})
    assert chosen(tmp_path, tested).shots == 1
    assert chosen(tmp_path, tested, "es-en").shots == 0


def test_the_files_of_a_variant_are_in_its_parents_workspace(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "tiny"
    run = job(DONE | {"adapt": "jobs/tiny/models/adapt"}, adapt=ADAPT)
    (tmp_path / "jobs/tiny/models/adapt").mkdir(parents=True)
    (tmp_path / "jobs/tiny/models/adapt/config.json").write_text("{}")
    assert choose_translation(run, folder, None, None, None).model == folder / "models/adapt"
    assert choose_translation(run, folder, None, None, None).data == tmp_path / "data/1"


@pytest.mark.parametrize(
    ("run", "direction", "said"),
    [
        (
            job({"prepare": "data/1"}, adapt=ADAPT), None,
            ("✖ tiny has no model yet: no training stage of it has ended well\n"
            "✖ finetune status tells where it is, finetune run goes on with it\n"),
        ),
        (
            job(DONE, adapt=ADAPT), "en-de",
            "✖ --direction en-de: tiny was made for es-en\n",
        ),
        (
            job(DONE), None,
            "✖ tiny is no translation: neither adapt, evaluate nor pretrain names a direction\n",
        ),
        (
            job(DONE | {"adapt": "models/gone"}, adapt=ADAPT), None,
            "✖ the model is gone: FOLDER/models/gone has no config.json. finetune run makes it again\n",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(
    run: FineTuneJob, direction: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        chosen(tmp_path, run, direction)
    assert caught.value.code == 2
    assert capsys.readouterr().err == said.replace("FOLDER", str(tmp_path))


def test_a_run_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    result = finetune(tmp_path, "translate", "nothing")
    assert result.returncode == 2
    assert result.stderr.startswith(f"✖ no run in {tmp_path / 'runs' / 'nothing'}: ")


ROWS = "source\treference\thypothesis\tbaseline\n" + "".join(f"s{i}\tr{i}\th{i}\t{'b' * i}\n" for i in range(5))


def shown(folder: Path, report: dict[str, Any]) -> str | None:
    (folder / "reports").mkdir()
    (folder / "reports/report.json").write_text(json.dumps(report))
    (folder / "reports/t.0shot.tsv").write_text(ROWS)
    view = segments_view(EvaluationSummary(path="reports/report.json"), folder)
    if view is None:
        return None
    console = Console(width=80)
    with console.capture() as captured:
        console.print(view)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


REPORTED = {"name": "t", "shots": 0, "segments": 5, "hypotheses": "reports/t.0shot.tsv"}


def test_the_end_of_a_run_shows_a_few_segments_before_and_after(tmp_path: Path) -> None:
    said = shown(tmp_path, {"tasks": [REPORTED], "baseline": {"name": "m"}})
    assert said is not None
    assert said.splitlines()[:5] == [
        "t zero-shot, the first 3 of 5 segments",
        "  source     s0", "  before     (empty)", "  after      h0", "  reference  r0",
    ]  # fmt: skip
    assert "s3" not in said


def test_without_a_baseline_nothing_was_before(tmp_path: Path) -> None:
    said = shown(tmp_path, {"tasks": [REPORTED], "baseline": None})
    assert said is not None
    assert "before" not in said
    assert "  model      h0\n" in said


@pytest.mark.parametrize("report", [{}, {"tasks": []}, {"tasks": [REPORTED | {"hypotheses": "gone.tsv"}]}])
def test_a_report_whose_files_are_gone_shows_none(report: dict[str, Any], tmp_path: Path) -> None:
    assert shown(tmp_path, report) is None
