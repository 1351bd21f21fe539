"""`finetune report --journal`: the story of a lineage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.evaluation_summary import summarise
from finetune_api.job import FineTuneJob
from finetune_api.report import EvaluationReport
from finetune_cli.lineage import read_lineage, source_digests, spec_changes
from unit.cli.commands import finetune
from unit.cli.test_ancestry import keep_run
from unit.evaluation.samples import corpus, damage
from unit.evaluation.saved_runs import keep_report
from unit.reconcile.world import job_object

SOURCES, REFERENCES = corpus(40)
ASKED = {"source": SOURCES, "reference": REFERENCES}
ADAPT = {"task": {"source": "ui", "direction": "en-es"}}
EVALUATE = {"tasks": [{"name": "en-es", "source": "ui", "direction": "en-es"}]}


def keep_variant(
    base: Path, name: str, share: float | None, parent: str | None, digest: str = "ab" * 32, **spec: Any
) -> Path:
    """A run whose model damages that share of the words; None: it was not evaluated. `digest` is of its corpus."""
    folder = base if parent is None else base / "jobs" / name
    made = [
        {"name": "prepare", "state": "Succeeded", "attempt": 1, "artifact": f"data/{name}"},
        {"name": "adapt", "state": "Succeeded", "attempt": 1},
    ]
    if parent is not None:
        made[0]["reusedFrom"] = parent
        spec = spec | {"lineage": {"parent": parent} | spec.get("lineage", {})}
    keep_run(folder, name, base, stages=made, adapt=ADAPT, evaluate=EVALUATE, **spec)
    (base / "data" / name).mkdir(parents=True)
    manifest = {"stage": "prepare", "fingerprint": "f", "digest": "d", "createdAt": "", "inputs": {"/x/ui.tsv": digest}}
    (base / "data" / name / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    if share is not None:
        keep_report(base, name, ASKED | {"hypothesis": damage(REFERENCES, share, 1)}, parent=parent)
        report = EvaluationReport.model_validate_json((folder / "reports/report.json").read_text("utf-8"))
        job = json.loads((folder / "job.json").read_text("utf-8"))
        job["status"]["evaluation"] = summarise(report, "reports/report.json").to_json_object()
        (folder / "job.json").write_text(json.dumps(job), "utf-8")
    return folder


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return keep_variant(tmp_path / "runs/base", "base", 0.7, None)


def journal(base: Path, name: str) -> str:
    result = finetune(base.parent.parent, "report", name, "--journal")
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_a_variant_is_told_as_a_story(base: Path) -> None:
    lora = ADAPT | {"lora": {"rank": 16}}
    folder = keep_variant(base, "rank-16", 0.2, "base", lineage={"hypothesis": "rank *4* <b>under-fits</b>"})
    job = json.loads((folder / "job.json").read_text("utf-8"))
    job["spec"]["adapt"] = lora
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    told = journal(base, "rank-16")
    assert told.startswith("# Journal of base: 2 runs\n")
    overview = next(line for line in told.splitlines() if line.startswith("| rank-16 "))
    assert overview.startswith("| rank-16 | base | adapt.lora.rank | ")
    assert overview.endswith(" ▲ |")
    assert "## rank-16, from base\n" in told
    assert r"**Hypothesis**: rank \*4\* \<b\>under-fits\</b\>" in told
    assert "Changed in the spec:\n\n- `adapt.lora.rank`: 64 → 16\n" in told
    assert "Data: the same files (ui.tsv `abababababab`).\n" in told
    assert "Reused from base: prepare. Made anew: adapt (spec.adapt.lora.rank differs from base).\n" in told
    row = next(line for line in told.splitlines() if line.startswith("| en-es zero-shot | chrF++ "))
    assert row.endswith(" | better |")


def test_other_data_are_told_by_digest(base: Path) -> None:
    keep_variant(base, "more", None, "base", digest="cd" * 32)
    told = journal(base, "base")
    assert "Nothing changed in the spec." in told
    assert "Changed in the data (sha256):\n\n- ui.tsv: `abababababab` → `cdcdcdcdcdcd`\n" in told
    assert "Effect on scores: not known; more has no report." in told


def test_each_parent_comes_before_its_variants(base: Path) -> None:
    for name, parent in (("b", "base"), ("a", "b"), ("c", "base")):
        keep_variant(base, name, None, parent)
    for asked in (base, base / "jobs/a"):
        assert [(i.name, i.parent and i.parent.metadata.name) for i in read_lineage(asked)] == [
            ("base", None),
            ("b", "base"),
            ("a", "b"),
            ("c", "base"),
        ]


def test_a_parent_that_is_gone_is_said(base: Path) -> None:
    folder = keep_variant(base, "orphan", None, "lost")
    assert [i.name for i in read_lineage(folder)] == ["orphan"]
    assert "## orphan, from lost, which is gone\n" in journal(base, "orphan")


def test_a_circle_of_parents_ends(base: Path) -> None:
    keep_variant(base, "a", None, "b")
    folder = keep_variant(base, "b", None, "a")
    assert sorted(i.name for i in read_lineage(folder)) == ["a", "b"]


def test_sources_that_came_and_went_are_told_by_name() -> None:
    ui = {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}
    one = job_object("one", data={"sources": [ui]})
    two = job_object(
        "two", data={"sources": [{"name": "news", **{k: ui[k] for k in ("type", "languages", "uri")}}, ui]}
    )
    changes = spec_changes(FineTuneJob.from_json_object(two), FineTuneJob.from_json_object(one))
    assert [change.path for change in changes] == ["data.sources[news]"]
    assert changes[0].theirs is None
    assert changes[0].ours["uri"] == "ui.tsv"


def test_files_of_one_name_keep_their_folders(base: Path) -> None:
    path = base / "data/base/manifest.json"
    manifest = json.loads(path.read_text("utf-8")) | {"inputs": {"/x/ui.tsv": "1", "/y/ui.tsv": "2", "/x/b.tsv": "3"}}
    path.write_text(json.dumps(manifest), "utf-8")
    (run,) = read_lineage(base)
    assert source_digests(run) == {"/x/ui.tsv": "1", "/y/ui.tsv": "2", "b.tsv": "3"}
    path.unlink()
    assert source_digests(run) == {}


def test_a_journal_is_no_page(base: Path) -> None:
    result = finetune(base, "report", "--journal", "--format", "html", "--workspace", str(base))
    assert (result.returncode, result.stderr) == (2, "✖ --journal is Markdown: leave out --format html\n")
