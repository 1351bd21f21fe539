"""The Dockerfile before it is built: BuildKit's linter, and what else in the repository repeats its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finetune_operator.reconcile import pods
from image.builders import PYTHON_BASE, Bootstrap
from image.container import USER

LINT = "--opt=requestid=frontend.lint"


@pytest.fixture(scope="module")
def dockerfile(root: Path) -> str:
    return (root / "Dockerfile").read_text(encoding="utf-8")


def test_buildkit_finds_nothing(builder: Bootstrap, root: Path) -> None:
    assert builder.daemon.run(root, *builder.base, LINT) == ""


def test_buildkit_would_find_something(builder: Bootstrap, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("from scratch AS Upper\nCOPY a /\nENV KEY value\n", encoding="utf-8")
    assert "LegacyKeyValueFormat" in builder.daemon.run(tmp_path, LINT)


def test_the_base_is_the_one_that_is_replaced(dockerfile: str) -> None:
    assert f"\nARG PYTHON_BASE={PYTHON_BASE}\n" in dockerfile


def test_the_users_of_manifests_and_images_are_one(dockerfile: str) -> None:
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == [f"{pods.USER}:{pods.USER}"]
    assert pods.USER == USER


def test_commands_of_pods_are_entry_points(dockerfile: str) -> None:
    entry_points = re.findall(r'^ENTRYPOINT \["(.*)"\]$', dockerfile, re.MULTILINE)
    assert entry_points == ["finetune-operator", "finetune-trainer"]
