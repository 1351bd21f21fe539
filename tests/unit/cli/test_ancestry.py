"""Local runs with a parent: where they work, what is said first, and what is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.objects import Object
from finetune_cli.ancestry import check_parent, reading
from finetune_cli.workspace import find_workspace, folder_of, workspace_of
from finetune_operator.cluster.interface import ClusterError
from finetune_operator.cluster.workspace_lock import WorkspaceLock, is_workspace_in_use
from unit.cli.commands import finetune
from unit.cli.test_refusals import GOOD
from unit.reconcile.world import job_object

DONE = [{"name": name, "state": "Succeeded", "attempt": 1} for name in ("prepare", "pretrain")]


def keep_run(folder: Path, name: str, workspace: Path, stages: list[Object] | None = None, **spec: Any) -> Path:
    """A run as `finetune run` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    job = job_object(name, **({"workspace": {"path": str(workspace)}} | spec))
    state = {"state": "Succeeded", "stages": DONE if stages is None else stages}
    (folder / "job.json").write_text(json.dumps(job | {"status": state}), encoding="utf-8")
    return folder


def variant(parent: str = "base", **spec: Any) -> Object:
    return job_object("v1", **({"workspace": None, "lineage": {"parent": parent}} | spec))


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return keep_run(tmp_path / "runs/base", "base", tmp_path / "runs/base")


def test_a_variant_works_in_its_own_folder_of_the_parents_workspace(base: Path) -> None:
    workspace = workspace_of(variant(), None)
    assert (workspace, folder_of(variant(), workspace)) == (base, base / "jobs/v1")
    keep_run(base / "jobs/v1", "v1", base, lineage={"parent": "base"})
    assert workspace_of(variant("v1"), None) == base
    assert find_workspace("v1", None) == base / "jobs/v1"
    assert folder_of(job_object("alone"), base) == base


def test_what_is_reused_and_why_not_is_said_first(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_parent(variant(), base) == [base]
    assert capsys.readouterr().err == "parent base: prepare, pretrain reused if unchanged\n"
    check_parent(variant(parallelism={"nodes": 1}), base)
    expected = (
        "parent base: prepare reused if unchanged; pretrain runs anew: spec.parallelism.nodes differs from base\n"
    )
    assert capsys.readouterr().err == expected
    assert check_parent(job_object("alone"), base) == []
    assert capsys.readouterr().err == ""


def test_all_ancestors_are_read(base: Path) -> None:
    first = keep_run(base / "jobs/first", "first", base, lineage={"parent": "base"})
    assert check_parent(variant("first"), base) == [first, base]


def refusal(capsys: pytest.CaptureFixture[str], job: Object, workspace: Path) -> str:
    with pytest.raises(SystemExit) as caught:
        check_parent(job, workspace)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_parents_that_cannot_be_reused_are_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = f"✖ spec.lineage.parent: {base} holds no run of other. Run it there first, or give the folder of its run"
    assert refusal(capsys, variant("other"), base).startswith(missing)
    keep_run(base, "base", base, stages=DONE[:1])
    assert "base has not finished pretrain yet" in refusal(capsys, variant(), base)
    keep_run(base / "jobs/first", "first", base, lineage={"parent": "v1"})
    keep_run(base / "jobs/v1", "v1", base, lineage={"parent": "first"})
    assert "a circle of parents: v1 -> first -> v1" in refusal(capsys, variant("first"), base)


def test_a_parent_is_read_by_many_and_run_by_none_meanwhile(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with reading([base]), reading([base]):
        assert not is_workspace_in_use(base)
        with pytest.raises(ClusterError, match="is in use by process"):
            WorkspaceLock(base)
    lock = WorkspaceLock(base)
    with pytest.raises(SystemExit), reading([base]):
        pass
    assert "is in use by process" in capsys.readouterr().err
    lock.release()


def test_a_missing_parent_is_one_line_from_the_outside(tmp_path: Path) -> None:
    (tmp_path / "ui.tsv").write_text("a\tb\n", encoding="utf-8")
    (tmp_path / "job.yaml").write_text(GOOD.replace("  pretrain:", "  lineage: {parent: base}\n  pretrain:"))
    result = finetune(tmp_path, "run", "job.yaml")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert f"no run of base under {tmp_path.resolve() / 'runs'}" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_job_that_is_its_own_parent_is_found_by_lint(tmp_path: Path) -> None:
    (tmp_path / "ui.tsv").write_text("a\tb\n", encoding="utf-8")
    (tmp_path / "job.yaml").write_text(GOOD.replace("  pretrain:", "  lineage: {parent: tiny}\n  pretrain:"))
    result = finetune(tmp_path, "lint", "job.yaml")
    assert result.returncode == 2
    assert result.stdout.startswith("✖ job.yaml:12 spec.lineage.parent: a job cannot be its own parent")
