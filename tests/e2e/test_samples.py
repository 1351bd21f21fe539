"""Each sample, applied and run to its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from e2e.installed import TRAINER_USER, namespace_with_workspace, volume_with_claim
from e2e.jobs import story, wait_for_end
from e2e.samples import cpu_size, write_corpora, write_model

SAMPLES = sorted(
    path
    for path in (Path(__file__).resolve().parents[2] / "manifests/samples").glob("*.yaml")
    if "kind: FineTuneJob" in path.read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def team(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A namespace with the claims that the samples name, and a volume for those that they create."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("models", "corpora", "shared", "created")}
    write_model(folders["models"])
    write_corpora(folders["corpora"])
    for folder in folders.values():
        os.chown(folder, TRAINER_USER, TRAINER_USER)
    plane.apply(*namespace_with_workspace("samples", tmp_path_factory.mktemp("unused")))
    for name in ("models", "corpora", "shared"):
        plane.apply(*volume_with_claim(f"samples-{name}", "samples", name, folders[name]))
    yield "samples"
    plane.kubectl("delete", "namespace", "samples", "--timeout=60s")


@pytest.fixture
def volume_to_claim(plane: ControlPlane, tmp_path: Path) -> Iterator[None]:
    """What a storage class would make for `workspace.create`."""
    os.chown(tmp_path, TRAINER_USER, TRAINER_USER)
    volume, _ = volume_with_claim("samples-created", "samples", "created", tmp_path)
    del volume["spec"]["claimRef"]
    plane.apply(volume)
    yield
    plane.kubectl("delete", "persistentvolume", "samples-created", "--wait=false")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_runs_to_its_end(plane: ControlPlane, team: str, volume_to_claim: None, path: Path) -> None:
    job = cpu_size(path, team)
    name = job["metadata"]["name"]
    plane.apply(job)
    status = wait_for_end(plane, name, team)
    assert status["state"] == "Succeeded", story(plane, team)
    assert status["evaluation"]["scores"]
    plane.kubectl("delete", "finetunejob", name, "-n", team, "--timeout=30s")
