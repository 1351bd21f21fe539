"""Artifacts are whole, or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from finetune_trainer.workspace import files
from finetune_trainer.workspace.artifacts import find_artifact, read_manifest, record_result, write_artifact
from unit.pod.plans import make_plan


def write(workspace: Path, content: str = "weights", relative: str = "models/pretrain", **changes: str) -> None:
    with write_artifact(workspace, relative, make_plan(workspace, **changes), {"data": "d1"}) as folder:
        (folder / "model.safetensors").write_text(content, encoding="utf-8")
        (folder / "tokenizer").mkdir()
        (folder / "tokenizer" / "tokenizer.json").write_text("{}", encoding="utf-8")


def test_a_finished_artifact_is_found_by_its_fingerprint(tmp_path: Path) -> None:
    write(tmp_path)
    manifest = find_artifact(tmp_path, "models/pretrain", "f" * 64)
    assert manifest is not None
    assert manifest.files["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()
    assert manifest.sizes["tokenizer/tokenizer.json"] == 2
    assert manifest.inputs == {"data": "d1"}
    assert find_artifact(tmp_path, "models/pretrain", "e" * 64) is None
    assert find_artifact(tmp_path, "models/adapt", "f" * 64) is None


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer/tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["remove", "truncate", "change"])
def test_a_damaged_artifact_is_not_found(file: str, damage: str, tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "models/pretrain" / file
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "truncate" else b"\0" + content[1:])
    if (file, damage) == ("manifest.json", "truncate"):
        path.write_bytes(content[: len(content) // 2])
    assert find_artifact(tmp_path, "models/pretrain", "f" * 64) is None


def test_of_a_large_file_the_size_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.looks_unchanged, "__defaults__", (3,))
    write(tmp_path)
    (tmp_path / "models/pretrain/model.safetensors").write_text("WEIGHTS", encoding="utf-8")
    assert find_artifact(tmp_path, "models/pretrain", "f" * 64) is not None
    (tmp_path / "models/pretrain/model.safetensors").write_text("weight", encoding="utf-8")
    assert find_artifact(tmp_path, "models/pretrain", "f" * 64) is None


def test_an_error_leaves_the_older_artifact_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path)

    def fail_half_way() -> None:
        with write_artifact(tmp_path, "models/pretrain", make_plan(tmp_path)) as folder:
            (folder / "model.safetensors").write_text("half", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert find_artifact(tmp_path, "models/pretrain", "f" * 64) is not None
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["pretrain"]


def test_a_newer_artifact_replaces_the_older_one_whole(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "models/pretrain/left-over.txt").write_text("old", encoding="utf-8")
    write(tmp_path, "new weights", fingerprint="e" * 64)
    assert find_artifact(tmp_path, "models/pretrain", "f" * 64) is None
    assert find_artifact(tmp_path, "models/pretrain", "e" * 64) is not None
    assert not (tmp_path / "models/pretrain/left-over.txt").exists()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["pretrain"]


def test_merging_keeps_the_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/pretrain.result.json").write_text("{}", encoding="utf-8")
    with write_artifact(tmp_path, "reports", make_plan(tmp_path), merge=True) as folder:
        (folder / "report.json").write_text("{}", encoding="utf-8")
    manifest = find_artifact(tmp_path, "reports", "f" * 64)
    assert manifest is not None
    assert list(manifest.files) == ["report.json"]
    assert (tmp_path / "reports/pretrain.result.json").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_result_is_kept_in_the_manifest_and_does_not_change_the_digest(tmp_path: Path) -> None:
    write(tmp_path)
    before = read_manifest(tmp_path / "models/pretrain")
    record_result(tmp_path, "models/pretrain", {"outcome": "Succeeded"})
    after = find_artifact(tmp_path, "models/pretrain", "f" * 64)
    assert before is not None
    assert after is not None
    assert after.result == {"outcome": "Succeeded"}
    assert after.digest == before.digest


def test_others_may_read_an_artifact(tmp_path: Path) -> None:
    write(tmp_path)
    assert (tmp_path / "models/pretrain").stat().st_mode & 0o555 == 0o555
