"""A packaged chart goes to an OCI registry and is installed from there, by tag and by digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chart import oci
from chart.helm import CHART, RELEASE, HelmError, Place, helm
from chart.oci import Registry
from cluster.control_plane import ControlPlane

VERSIONS = ("0.1.1", "0.1.2+build.7")
PLAIN = "--plain-http"
NONE = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with oci.running(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def pushed(registry: Registry, older: bool, tmp_path: Path) -> str:
    """Where this Helm pushed the chart, in two versions."""
    folder = f"{registry.charts}/{'helm-3' if older else 'helm-4'}"
    for version in VERSIONS:
        helm("package", str(CHART), "--version", version, "--destination", str(tmp_path), older=older)
        helm("push", str(tmp_path / f"{CHART.name}-{version}.tgz"), folder, PLAIN, older=older)
    return f"{folder}/{CHART.name}"


def chart_of(place: Place) -> str:
    (release,) = yaml.safe_load(place.helm("list", "--output", "yaml"))
    assert release["status"] == "deployed"
    return str(release["chart"])


def test_a_pushed_chart_is_shown_as_it_was(pushed: str, older: bool) -> None:
    own = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    shown = yaml.safe_load(helm("show", "chart", pushed, "--version", VERSIONS[0], PLAIN, older=older))
    assert shown == own | {"version": VERSIONS[0]}
    assert helm("show", "values", pushed, PLAIN, older=older).strip() == (CHART / "values.yaml").read_text().strip()


def test_a_pushed_chart_is_installed_and_upgraded(pushed: str, place: Place) -> None:
    place.helm("install", RELEASE, pushed, "--version", VERSIONS[0], PLAIN)
    assert chart_of(place) == f"{CHART.name}-{VERSIONS[0]}"
    place.helm("upgrade", RELEASE, pushed, PLAIN)  # the newest
    assert chart_of(place) == f"{CHART.name}-{VERSIONS[1]}"


def test_a_pushed_chart_is_installed_by_its_digest(pushed: str, registry: Registry, place: Place) -> None:
    digest = registry.digest(pushed.removeprefix(f"{registry.charts}/"), VERSIONS[0])
    place.helm("install", RELEASE, f"{pushed}@{digest}", PLAIN)
    assert chart_of(place) == f"{CHART.name}-{VERSIONS[0]}"


def test_a_chart_that_was_not_pushed_is_not_installed(pushed: str, plane: ControlPlane, place: Place) -> None:
    for reference in (f"{pushed}@{NONE}", f"{pushed}s"):
        with pytest.raises(HelmError, match=r"not found|404"):
            place.helm("install", RELEASE, reference, PLAIN)
    with pytest.raises(HelmError, match=r"0\.1\.9"):
        place.helm("install", RELEASE, pushed, "--version", "0.1.9", PLAIN)
    assert yaml.safe_load(place.helm("list", "--output", "yaml")) == []
