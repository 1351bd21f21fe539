"""FineTuneJobs and what tests ask about them."""

from __future__ import annotations

from typing import Any

from cluster.control_plane import ControlPlane, wait_for
from finetune_api.objects import Object

END_SECONDS = 90.0


def job(name: str, namespace: str, **spec: Any) -> Object:
    """prepare, pretrain, evaluate on two nodes; keyword arguments replace fields of the spec."""
    values: Object = {
        "workspace": {"claimName": "workspace"},
        "parallelism": {"nodes": 2},
        "model": {"scratch": {"layers": 1, "hidden": 16, "heads": 2, "contextLength": 64}},
        "data": {
            "sources": [
                {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "pvc://corpora/ui.tsv"},
            ]
        },
        "pretrain": {
            "budget": {"tokens": 10_000},
            "objectives": [{"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]}],
            "batch": {"globalTokens": 1024, "sequenceLength": 64},
        },
        "evaluate": {"tasks": [{"name": "en-es", "source": "ui", "direction": "en-es"}]},
    }
    return {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {key: value for key, value in (values | spec).items() if value is not None},
    }


def status(plane: ControlPlane, name: str, namespace: str) -> Object:
    """The status of a job."""
    found: Object = plane.get("finetunejob", name, "-n", namespace).get("status", {})
    return found


def wait_for_state(plane: ControlPlane, name: str, namespace: str, state: str, seconds: float = END_SECONDS) -> Object:
    """The status, once `status.state` is as wanted."""
    found: Object = wait_for(
        f"{namespace}/{name} {state}",
        lambda: (now := status(plane, name, namespace)).get("state") == state and now,
        seconds,
    )
    return found


def children(plane: ControlPlane, namespace: str) -> list[tuple[str, str]]:
    """(kind, name) of everything that the operator made in a namespace."""
    items = plane.get(
        "jobs,services,configmaps,persistentvolumeclaims",
        "-n",
        namespace,
        "-l",
        "app.kubernetes.io/managed-by=finetune-operator",
    )["items"]
    return sorted((item["kind"], item["metadata"]["name"]) for item in items)


def job_events(plane: ControlPlane, namespace: str) -> list[Object]:
    """Events about FineTuneJobs of a namespace, in the order in which they happened."""
    items = plane.get("events.events.k8s.io", "-n", namespace)["items"]
    own: list[Object] = [event for event in items if event["regarding"]["kind"] == "FineTuneJob"]
    return sorted(own, key=lambda event: str(event["eventTime"]))
