"""trivy and hadolint read what is installed and what is built, without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from chart.helm import KINDS, render
from chart.toggles import toggled
from cluster import build_tools

IGNORED = Path(__file__).with_name("trivyignore.yaml")
PRIVILEGED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "own"},
    "spec": {"hostPID": True, "containers": [{"name": "own", "image": "own", "securityContext": {"privileged": True}}]},
}


@dataclass(frozen=True)
class Trivy:
    """trivy with the checks that it carries, and a cache of its own."""

    program: Path
    cache: Path

    def findings(self, place: Path, *flags: str) -> list[str]:
        """`id severity file` of each finding in the files of a folder."""
        command = [str(self.program), "config", "--quiet", "--skip-check-update", f"--cache-dir={self.cache}"]
        command += ["--format=json", "--exit-code=9", *flags, str(place)]
        result = subprocess.run(command, cwd=self.cache, capture_output=True, text=True, check=False)
        assert result.returncode in (0, 9), result.stderr
        read = json.loads(result.stdout).get("Results", [])
        assert read, f"trivy took nothing in {place} for what it knows"
        found = [
            f"{one['AVDID']} {one['Severity']} {file['Target']}"
            for file in read
            for one in file.get("Misconfigurations", [])
        ]
        assert bool(found) == (result.returncode == 9)
        return found


@pytest.fixture(scope="module")
def linters() -> dict[str, Path]:
    return build_tools.linters()


@pytest.fixture(scope="module")
def trivy(linters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Trivy:
    if "trivy" not in linters:
        pytest.skip("the package of trivy has no program for this kind of machine")
    return Trivy(linters["trivy"], tmp_path_factory.mktemp("trivy"))


@pytest.fixture(scope="module")
def ours(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the chart renders but CRDs, for which trivy has no checks; what installs without Helm; the Dockerfile."""
    folder = tmp_path_factory.mktemp("ours")
    shutil.copytree(root / "manifests" / "install", folder / "install")
    shutil.copy(root / "Dockerfile", folder)
    for name in ("defaults", "namespaces", "everything"):
        objects = [value for value in render(toggled(name), *KINDS) if value["kind"] != "CustomResourceDefinition"]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    return folder


def test_trivy_finds_nothing(trivy: Trivy, ours: Path) -> None:
    assert trivy.findings(ours, f"--ignorefile={IGNORED}") == []


def test_what_trivy_is_told_to_ignore_is_there(trivy: Trivy, ours: Path) -> None:
    told = {one["id"] for one in yaml.safe_load(IGNORED.read_text(encoding="utf-8"))["misconfigurations"]}
    found = [finding.split() for finding in trivy.findings(ours)]
    assert {check for check, _, _ in found} == told
    files = {"Dockerfile", "defaults.yaml", "namespaces.yaml", "everything.yaml"}
    assert {file for _, _, file in found} >= {*files, "install/deployment.yaml", "install/rbac.yaml"}


def test_trivy_finds_a_privileged_pod(trivy: Trivy, tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(PRIVILEGED), encoding="utf-8")
    found = trivy.findings(tmp_path, f"--ignorefile={IGNORED}")
    assert {"AVD-KSV-0010 HIGH pod.yaml", "AVD-KSV-0017 HIGH pod.yaml"} <= set(found)


def test_hadolint_finds_nothing(linters: dict[str, Path], root: Path) -> None:
    command = [str(linters["hadolint"]), "Dockerfile"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_hadolint_would_find_something(linters: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nADD a /\n", encoding="utf-8")
    command = [str(linters["hadolint"]), "Dockerfile"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "DL3020" in result.stdout
