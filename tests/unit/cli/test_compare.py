"""`finetune compare`: which runs, what is shown, and why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_cli.comparing import choose_runs
from unit.cli.commands import finetune
from unit.cli.test_ancestry import keep_run
from unit.evaluation.samples import corpus, damage
from unit.evaluation.saved_runs import keep_report

SOURCES, REFERENCES = corpus(40)
COST = {"pretrain": (60_000.0, 60.0), "adapt": (2000.0, 20.0)}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/base, and its variant rank-8, which is better."""
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "runs/base"
    asked = {"source": SOURCES, "reference": REFERENCES}
    keep_run(keep_report(base, "base", asked | {"hypothesis": damage(REFERENCES, 0.7, 1)}, cost=COST), "base", base)
    variant = keep_report(base, "rank-8", asked | {"hypothesis": damage(REFERENCES, 0.2, 2)}, cost=COST, parent="base")
    keep_run(variant, "rank-8", base, lineage={"parent": "base"})
    return tmp_path


def test_runs_are_named_or_given_by_folder(runs: Path) -> None:
    base, variant = runs / "runs/base", runs / "runs/base/jobs/rank-8"
    for asked, workspace in (
        (["base", "rank-8"], None), (["runs/base", "runs/base/jobs/rank-8"], None), (["base", "rank-8"], base),
    ):  # fmt: skip
        assert [(run.name, run.folder) for run in choose_runs(asked, workspace)] == [
            ("base", base),
            ("rank-8", variant),
        ]


def test_runs_of_one_name_are_called_as_they_were_asked_for(runs: Path) -> None:
    other = keep_run(runs / "other", "base", runs / "other")
    (other / "reports").mkdir()
    (other / "reports/report.json").write_text("{}")
    assert [run.name for run in choose_runs(["base", "other", "rank-8"], None)] == ["base", "other", "rank-8"]


def test_all_that_is_wrong_is_said_at_once(runs: Path) -> None:
    keep_run(runs / "runs/young", "young", runs / "runs/young")
    result = finetune(runs, "compare", "base", "nothing", "young", "runs/base")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"✖ nothing is neither the name of a run under {runs / 'runs'} nor the folder of one",
        (
            f"✖ young has no report: {runs / 'runs/young/reports/report.json'} does not exist. "
            "finetune status tells where the run is"
        ),
        "✖ runs/base is the same run as base: name each run once",
    ]
    alone = finetune(runs, "compare", "base")
    assert (alone.returncode, alone.stderr) == (
        2,
        "✖ one run alone: name the others after it, as in finetune compare base rank-8\n",
    )


def test_a_table_says_what_counts(runs: Path) -> None:
    result = finetune(runs, "compare", "base", "rank-8")
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["en-es", "zero-shot", "·", "40", "segments"]
    assert lines[2][:2] == ["chrF++", "base"]
    assert lines[2][-7:] == ["–", "–", "62", "k", "1m20s", "1m20s", "no"]
    assert lines[3][0] == "rank-8"
    assert lines[3][3] == "▲"
    assert lines[3][4].startswith("+")
    assert lines[3][-5:] == ["62", "k", "1m20s", "1m20s", "yes"]
    assert "Of the tokens, trained by a parent already: rank-8 60 k." in result.stdout


def test_machines_get_json(runs: Path) -> None:
    result = finetune(runs, "compare", "base", "rank-8", "-o", "json")
    found = json.loads(result.stdout)
    assert [run["name"] for run in found["runs"]] == ["base", "rank-8"]
    rows = found["tests"][0]["rows"]
    assert rows[1]["scores"][0]["verdict"] == "Better"
    assert rows[1]["scores"][0]["deltaLow"] > 0
    assert "delta" not in rows[0]["scores"][0]


def test_a_report_that_cannot_be_read_is_refused_in_words(runs: Path) -> None:
    (runs / "runs/base/reports/report.json").write_text("{}")
    result = finetune(runs, "compare", "base", "rank-8")
    assert result.returncode == 2
    assert result.stderr.startswith(f"✖ base: {runs / 'runs/base/reports/report.json'} is no report that this version")
