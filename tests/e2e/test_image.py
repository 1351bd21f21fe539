"""The operator's own image, as `make image` builds it, on the real node; its programs are not the machine's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from e2e.installed import OPERATOR_IMAGE
from e2e.jobs import small_job, story, wait_for_end, write_corpus
from e2e.real_node import IMAGE_HANDLER, RealNode
from image import build_images

BUILT = "localhost/finetune-operator/operator:built"
DEPLOYMENT = "deployment/finetune-operator"


@pytest.fixture
def built_operator(node: RealNode, plane: ControlPlane) -> Iterator[None]:
    """The operator runs from its image, and afterwards again from the machine's files."""
    (order,) = build_images.orders(["operator"], "cpu", {})
    assert order.archive.is_file(), "make image BOOTSTRAP=1 TARGETS=operator builds it"
    node.import_image(order.archive)
    node.tag_image(OPERATOR_IMAGE, BUILT)
    node.import_machine_image()
    plane.apply(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": IMAGE_HANDLER},
            "handler": IMAGE_HANDLER,
        }
    )
    _run_image(plane, BUILT, IMAGE_HANDLER)
    yield
    _run_image(plane, OPERATOR_IMAGE, None)


def _run_image(plane: ControlPlane, image: str, runtime_class: str | None) -> None:
    pod = {"runtimeClassName": runtime_class, "containers": [{"name": "operator", "image": image}]}
    patch = json.dumps({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}, "template": {"spec": pod}}})
    plane.kubectl("patch", DEPLOYMENT, "-n", "finetune-operator", "--type=strategic", "-p", patch)
    plane.kubectl("rollout", "status", DEPLOYMENT, "-n", "finetune-operator", "--timeout=90s")


def test_the_built_image_runs_a_job(plane: ControlPlane, built_operator: None, namespace: str, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    job = small_job("by-image", namespace)
    del job["spec"]["adapt"]
    plane.apply(job)
    assert wait_for_end(plane, "by-image", namespace)["state"] == "Succeeded", story(plane, namespace)
    log = plane.kubectl("logs", "-n", "finetune-operator", DEPLOYMENT)
    assert '"level": "error"' not in log, log
