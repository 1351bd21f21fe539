"""The kernel kills what takes more memory than its limit; the job says so, tries once more, and ends."""

from __future__ import annotations

from pathlib import Path

from cluster.control_plane import ControlPlane
from e2e.installed import TRAINER_IMAGE
from e2e.jobs import events, small_job, story, wait_for_end, write_corpus

LIMIT = "96Mi"
"""Python itself fits, its libraries do not."""


def test_a_pod_that_is_killed_for_memory_is_told_as_that(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    tight = {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneRuntime",
        "metadata": {"name": "tight", "namespace": namespace},
        "spec": {"image": TRAINER_IMAGE, "resources": {"limits": {"memory": LIMIT}}},
    }
    plane.apply(tight, small_job("large", namespace, runtimeRef={"kind": "FineTuneRuntime", "name": "tight"}))
    ended = wait_for_end(plane, "large", namespace)
    assert ended["state"] == "Failed", story(plane, namespace)
    stage = ended["stages"][0]
    assert stage["restarts"] == {"OutOfMemory": 1}, story(plane, namespace)
    succeeded = next(c for c in ended["conditions"] if c["type"] == "Succeeded")
    assert "memory" in succeeded["message"]
    assert "resources.limits" in succeeded["message"]
    assert [event for event in events(plane, namespace) if event.startswith("GangRestarted")] == [
        "GangRestarted prepare"
    ]
