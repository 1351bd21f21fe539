"""Monitors and rules as the Prometheus Operator's own CRDs take them, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from chart.conftest import delete_crds
from chart.helm import CHART, KINDS, MONITORING_KINDS, RELEASE, HelmError, Place, render
from chart.test_names import LONGEST, LONGEST_NAME
from chart.toggles import everything, joined
from cluster import build_tools
from cluster.control_plane import ControlPlane, KubectlError
from finetune_api.objects import Object

MONITORS = {"monitoring": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}}
LATER = {
    "monitoring": {
        "serviceMonitor": {"interval": "1m30s"},
        "podMonitor": {"interval": ""},
        "rules": {"thresholds": {"stalledSeconds": 120}},
    }
}


@pytest.fixture(scope="module", autouse=True)
def _kinds(started: ControlPlane) -> Iterator[None]:
    """The cluster has the kinds of the Prometheus Operator, without its webhook."""
    folder = build_tools.build(build_tools.MONITORING_CRDS)["controller-gen"].parent / build_tools.MANIFESTS
    files = [f"--filename={folder / f'monitoring.coreos.com_{kind.lower()}s.yaml'}" for kind in MONITORING_KINDS]
    started.kubectl("create", *files)
    started.kubectl("wait", "--for=condition=Established", *files, "--timeout=60s")
    yield
    delete_crds(started, [f"{kind.lower()}s.monitoring.coreos.com" for kind in MONITORING_KINDS])


def test_what_is_stored_is_what_was_rendered(plane: ControlPlane, namespace: str) -> None:
    place = Place(plane.kubeconfig())
    values = joined(everything(), {"monitoring": {"dashboards": {"namespace": namespace}}})
    values |= {"fullnameOverride": LONGEST_NAME}
    place.helm("install", LONGEST, str(CHART), values=values | {"runtimes": {}})
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    for more in ({}, LATER):
        place.helm("upgrade", LONGEST, str(CHART), values=joined(values, more))
        rendered = list(yaml.safe_load_all(place.helm("get", "manifest", LONGEST)))
        seen = [one["kind"] for one in rendered]
        assert [seen.count(kind) for kind in (*MONITORING_KINDS, "ConfigMap")] == [1, 1, 1, 5]
        for one in rendered:
            metadata = one["metadata"]
            found = plane.get(one["kind"], metadata["name"], "-n", metadata.get("namespace", place.namespace))
            assert metadata.get("labels", {}).items() <= found["metadata"]["labels"].items()
            if one["kind"] in (*MONITORING_KINDS, "ConfigMap"):
                assert (found.get("spec"), found.get("data")) == (one.get("spec"), one.get("data"))
    (endpoint,) = plane.get("servicemonitor", LONGEST_NAME, "-n", place.namespace)["spec"]["endpoints"]
    assert endpoint["interval"] == "1m30s"


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("ServiceMonitor", lambda spec: spec["endpoints"][0].update(honourLabels=True), "unknown field.*honourLabels"),
        ("ServiceMonitor", lambda spec: spec["endpoints"][0].update(honorLabels="yes"), "must be of type boolean"),
        ("ServiceMonitor", lambda spec: spec["endpoints"][0].update(interval="soon"), "interval.*should match"),
        ("PodMonitor", lambda spec: spec.pop("selector"), "spec.selector: Required value"),
        ("PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].pop("expr"), "expr: Required value"),
    ],
    ids=["unknown", "type", "pattern", "selector", "expression"],
)
def test_the_api_server_refuses_what_the_kind_has_not(
    kind: str, change: Callable[[Object], Any], told: str, started: ControlPlane
) -> None:
    (value,) = (one for one in render(everything(), *KINDS) if one["kind"] == kind)
    value["metadata"]["namespace"] = "default"
    place = f"/apis/monitoring.coreos.com/v1/namespaces/default/{kind.lower()}s?fieldValidation=Strict&dryRun=All"
    create = ("create", f"--raw={place}", "--filename=-")
    started.kubectl(*create, stdin=json.dumps(value))
    change(value["spec"])
    with pytest.raises(KubectlError, match=told):
        started.kubectl(*create, stdin=json.dumps(value))


def test_a_refused_value_is_named(plane: ControlPlane) -> None:
    place = Place(plane.kubeconfig())
    values = joined(MONITORS, {"monitoring": {"serviceMonitor": {"interval": "soon"}}})
    with pytest.raises(HelmError, match=r"spec\.endpoints\[0\]\.interval"):
        place.helm("install", RELEASE, str(CHART), values=values)
