"""Paths of a manifest, the workspace folder and the pods' logs."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.objects import Object
from finetune_cli.local_manifest import make_paths_absolute, missing_files, missing_local_files, without_parents
from finetune_cli.log_tail import LogTail
from finetune_cli.plan_view import filled_in
from finetune_cli.workspace import make_workspace, read_job, workspace_of, write_json_atomically


def job(**source: Any) -> Object:
    return {"metadata": {"name": "ui"}, "spec": {"data": {"sources": [{"languages": ["en", "es"], **source}]}}}


def test_plain_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    written = job(uri="corpora/ui.tsv")
    resolved = make_paths_absolute(written, tmp_path)
    assert resolved["spec"]["data"]["sources"][0]["uri"] == f"file://{tmp_path}/corpora/ui.tsv"
    assert written["spec"]["data"]["sources"][0]["uri"] == "corpora/ui.tsv"


def test_paths_through_a_parent_folder_are_for_this_machine_only(tmp_path: Path) -> None:
    def seen(uri: str, **spec: Any) -> str:
        written = job(uri=uri)
        resolved = without_parents(written | {"spec": written["spec"] | spec}, tmp_path / "jobs")
        return str(resolved["spec"]["data"]["sources"][0]["uri"])

    assert seen("../data/x.{lang}") == f"{tmp_path}/data/x.{{lang}}"
    for uri in ("data/x.tsv", "pvc://claim/../x.tsv", "file:///a/../x.tsv"):
        assert seen(uri) == uri
    for claim in ({"claimName": "data"}, {"create": {"size": "1Gi"}}):
        assert seen("../data/x.tsv", workspace=claim) == "../data/x.tsv"


@pytest.mark.parametrize("uri", ["hf://org/set", "file:///data/ui.tsv", "pvc://claim/ui.tsv"])
def test_uris_with_a_scheme_stay_as_they_are(uri: str, tmp_path: Path) -> None:
    assert make_paths_absolute(job(uri=uri), tmp_path) == job(uri=uri)


def test_every_missing_file_is_told_with_its_field(tmp_path: Path) -> None:
    (tmp_path / "news.en").write_text("a\n")
    problems = missing_files(job(uri=f"file://{tmp_path}/news.{{lang}}"), tmp_path)
    assert [(p.field, p.message) for p in problems] == [
        ("spec.data.sources[0].uri", f"no such file or folder: {tmp_path}/news.es")
    ]


def test_lint_looks_for_plain_paths_only(tmp_path: Path) -> None:
    (tmp_path / "my ui.tsv").write_text("a\tb\n")
    assert missing_local_files(job(uri="my ui.tsv"), tmp_path) == []
    assert missing_local_files(job(uri="file:///in/the/pod.tsv"), tmp_path) == []
    (problem,) = missing_local_files(job(uri="ui.tsv"), tmp_path)
    assert problem.message == f"no such file or folder: {tmp_path}/ui.tsv"


@pytest.mark.parametrize(
    ("block", "hint"),
    [
        (
            {"model": {"from": {"uri": "mistralai/Mistral-7B-v0.1"}}},
            "hf download mistralai/Mistral-7B-v0.1 --local-dir",
        ),
        ({"data": {"sources": [{"uri": "wmt/wmt19"}]}}, "write hf://wmt/wmt19"),
    ],
)
def test_names_of_the_hub_are_told_from_paths(block: Object, hint: str, tmp_path: Path) -> None:
    (problem,) = missing_local_files({"spec": block}, tmp_path)
    assert hint in problem.message


@pytest.mark.parametrize("spec", [None, [], {"data": None}, {"data": {"sources": [{"uri": 3}, {"uri": "x{lang}"}]}}])
def test_looking_for_files_expects_nothing_of_a_manifest(spec: Any, tmp_path: Path) -> None:
    assert all(problem.field for problem in missing_local_files({"spec": spec}, tmp_path))
    assert without_parents({"spec": spec}, tmp_path) == {"spec": spec}


def test_workspace_by_option_spec_or_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert workspace_of(job(), None) == tmp_path / "runs" / "ui"
    assert workspace_of(job(), tmp_path / "w") == tmp_path / "w"
    with_path = job() | {"spec": {"workspace": {"path": str(tmp_path / "p")}}}
    assert workspace_of(with_path, None) == tmp_path / "p"


def test_a_workspace_that_cannot_be_made_is_refused_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        make_workspace(tmp_path / "file" / "workspace")
    assert caught.value.code == 2
    assert "--workspace DIR" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "", "{", '{"kind": "Pod"}', "\x00\x01"])
def test_a_missing_or_broken_job_file_is_refused_plainly(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "job.json").write_text(content)
    with pytest.raises(SystemExit) as caught:
        read_job(tmp_path)
    assert caught.value.code == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_json_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    write_json_atomically(path, {"a": 1})
    write_json_atomically(path, {"a": "é"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "é"}
    assert [p.name for p in tmp_path.iterdir()] == ["job.json"]


def test_log_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    log = tmp_path / "ui-adapt-1-0.log"
    log.write_text("first\nsec")
    tail = LogTail(tmp_path)
    assert list(tail.new_lines()) == ["ui-adapt-1-0 | first"]
    assert list(tail.new_lines()) == []
    with log.open("a") as file:
        file.write("ond\n")
    assert list(tail.new_lines()) == ["ui-adapt-1-0 | second"]


def test_log_tail_narrows_to_stage_and_rank(tmp_path: Path) -> None:
    for pod in ("ui-adapt-1-0", "ui-adapt-1-1", "ui-prepare-1-0"):
        (tmp_path / f"{pod}.log").write_text("line\n")
    assert list(LogTail(tmp_path, "adapt", 1).new_lines()) == ["ui-adapt-1-1 | line"]


def test_filled_in_lists_leaves_that_were_not_written() -> None:
    written = {"a": 1, "list": [{"x": 1}]}
    complete = {"a": 1, "b": {"c": 2}, "list": [{"x": 1, "y": 3}]}
    assert list(filled_in(written, complete, "spec")) == [("spec.b.c", 2), ("spec.list[0].y", 3)]
