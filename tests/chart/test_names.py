"""Names and labels are what Kubernetes takes, however long or odd what they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chart.helm import CHART, KINDS, HelmError, helm, render
from chart.toggles import everything
from finetune_api.objects import Object

LONGEST = "r" * 53
"""That Helm takes as the name of a release."""
LONGEST_NAME = "f" * 52
SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){NAME}(\.{NAME})*")
PORT = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
KEY = re.compile(rf"({NAME}(\.{NAME})*/)?[A-Za-z0-9]([-_.A-Za-z0-9]{{0,61}}[A-Za-z0-9])?")
VALUE = re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
BY_KIND = {"Service": SERVICE, "Pod": LABEL, "Deployment": LABEL}
"""A pod has its name as host name; that of a Deployment begins those of its pods."""
BY_FIELD = {"containers": LABEL, "volumes": LABEL, "ports": PORT}


def parts(value: Any) -> Iterator[Object]:
    """All maps in an object."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for child in value if isinstance(value, list) else ():
        yield from parts(child)


def wrong(value: Object) -> list[str]:
    """Names, label keys and label values of an object that Kubernetes would refuse."""
    own = value["metadata"]
    found = [(BY_KIND.get(value["kind"], SUBDOMAIN), own["name"])]
    found += [(LABEL, own["namespace"])] if "namespace" in own else []
    has_schema = value["kind"] == "CustomResourceDefinition"
    for part in [{"metadata": own}] if has_schema else parts(value):
        for labels in (part.get("metadata", {}).get("labels", {}), part.get("matchLabels", {})):
            found += [(KEY, key) for key in labels] + [(VALUE, text) for text in labels.values()]
        for field, rule in BY_FIELD.items():
            found += [(rule, one["name"]) for one in part.get(field, ()) if "name" in one]
    return [text for rule, text in found if not rule.fullmatch(text)]


@pytest.mark.parametrize("values", [{}, {"namespaces": ["n" * 63]}], ids=["the cluster", "a namespace"])
def test_the_longest_names_fit(values: Object) -> None:
    objects = render(everything() | values | {"fullnameOverride": LONGEST_NAME}, *KINDS, release=LONGEST)
    called = [value for value in objects if value["metadata"]["name"].startswith(LONGEST_NAME)]
    assert len({(value["kind"], value["metadata"]["name"]) for value in called}) > 15
    assert [found for value in objects for found in wrong(value)] == []


def test_names_that_do_not_fit_are_seen() -> None:
    objects = render(everything(), *KINDS)
    for value in objects:
        value["metadata"]["name"] += "_"
    assert all(wrong(value) for value in objects)
    (deployment,) = (value for value in objects if value["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    template["metadata"]["labels"]["helm.sh/chart"] = "v" * 64
    template["spec"]["containers"][0]["ports"][0]["name"] = "more-than-15-characters"
    assert {"v" * 64, "more-than-15-characters"} < set(wrong(deployment))


@pytest.mark.parametrize("name", ["1st", "with.dot", "Large", "end-"])
def test_a_name_that_no_service_has_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(HelmError, match=f"{name} is none for a Service.*set fullnameOverride"):
        render({"fullnameOverride": name})


def test_a_release_may_have_a_name_that_no_service_has() -> None:
    release = "1.st"
    with pytest.raises(HelmError, match="set fullnameOverride"):
        render(release=release)
    assert [found for value in render({"fullnameOverride": "first"}, release=release) for found in wrong(value)] == []


@pytest.mark.parametrize("version", ["0.1.0+build.7", f"0.1.0-{'a' * 35}.{'b' * 40}", f"0.1.0+{'c' * 70}"])
def test_versions_fit_into_labels(version: str, tmp_path: Path) -> None:
    helm("package", str(CHART), "--version", version, "--app-version", version, "--destination", str(tmp_path))
    objects = render(everything(), *KINDS, chart=str(tmp_path / f"{CHART.name}-{version}.tgz"))
    assert [found for value in objects for found in wrong(value)] == []
    labels = objects[0]["metadata"]["labels"]
    assert labels["helm.sh/chart"].startswith("finetune-operator-0.1.0")
    assert labels["app.kubernetes.io/version"].startswith("0.1.0")
