"""The wheel of the project holds what its commands need, and runs without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SOURCES = ("crds", "operator", "trainer", "cli")
JOB = """\
apiVersion: finetune-operator.io/v1alpha1
kind: FineTuneJob
metadata: {name: tiny}
spec:
  model: {from: {uri: pvc://models/base}}
  data:
    sources:
    - {name: ui, type: Parallel, languages: [en, es], uri: pvc://corpora/ui.tsv}
  adapt:
    task: {source: ui, direction: en-es}
"""
RUN = "import finetune_cli.main as cli; print(cli.__file__); cli.main()"


@pytest.fixture(scope="module")
def unpacked(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, in a folder of their own."""
    copy, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*build, "--no-cache-dir", f"--wheel-dir={made}", str(copy)], check=True, capture_output=True)
    (wheel,) = made.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made / "unpacked")
    return made / "unpacked"


def test_every_file_of_the_packages_is_in_the_wheel(unpacked: Path, root: Path) -> None:
    packages = [package for name in SOURCES for package in (root / name).glob("finetune_*")]
    ours = {
        str(file.relative_to(package.parent))
        for package in packages
        if package.is_dir()
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert ours - {str(file.relative_to(unpacked)) for file in unpacked.rglob("*")} == set()
    assert {Path(name).suffix for name in ours} >= {".py", ".typed", ".j2", ".css", ".js"}


def test_lint_runs_from_the_wheel_alone(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-c", RUN, "lint", "job.yaml"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(unpacked / "finetune_cli" / "main.py"), "✔ job.yaml"]
