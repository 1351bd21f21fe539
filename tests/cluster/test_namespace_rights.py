"""Namespaces of the settings in which the operator has no rights: told plainly, and no harm to the others."""

from __future__ import annotations

import urllib.error
import urllib.request

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import job, status, wait_for_state
from cluster.kubelet import Kubelet
from cluster.operator_process import OperatorProcess
from cluster.test_namespaced import RUNTIME, operator_of, parts, served

__all__ = ["parts", "served"]
REFUSED = "is not served"


def give_rights(plane: ControlPlane, source: str, target: str) -> None:
    """Role, binding and runtime of a served namespace, for another one."""
    for kind, name in (
        ("role", "finetune-operator"),
        ("rolebinding", "finetune-operator"),
        ("finetuneruntime", "team"),
    ):
        value = plane.get(kind, name, "-n", source)
        metadata = {"name": name, "namespace": target}
        kept = {
            key: value[key] for key in ("apiVersion", "kind", "rules", "roleRef", "subjects", "spec") if key in value
        }
        plane.apply(kept | {"metadata": metadata})


def readiness(operator: OperatorProcess) -> str:
    """What /readyz says while it is not ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/readyz", timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""


def test_rights_come_and_go(plane: ControlPlane, namespace: str, served: str) -> None:
    with operator_of(plane, served, namespace, replica="comes-and-goes") as operator, Kubelet(plane):
        assert operator.log.read_text().count(f"namespace {namespace} {REFUSED}") == 1
        assert "Give the operator its Role and RoleBinding there" in operator.log.read_text()
        plane.apply(job("first", served, runtimeRef=RUNTIME))
        wait_for_state(plane, "first", served, "Succeeded")

        give_rights(plane, served, namespace)
        plane.apply(job("granted", namespace, runtimeRef=RUNTIME))
        wait_for_state(plane, "granted", namespace, "Succeeded")
        assert f"namespace {namespace} may be served now" in operator.log.read_text()

        plane.kubectl("delete", "rolebinding", "finetune-operator", "-n", namespace)
        wait_for("the refusal", lambda: operator.log.read_text().count(f"namespace {namespace} {REFUSED}") == 2)
        plane.apply(job("late", served, runtimeRef=RUNTIME), job("lost", namespace, runtimeRef=RUNTIME))
        wait_for_state(plane, "late", served, "Succeeded")
        assert "conditions" not in status(plane, "lost", namespace)
        assert operator.process is not None
        assert operator.process.poll() is None


def test_an_operator_without_any_rights_says_so_and_waits(plane: ControlPlane, namespace: str, served: str) -> None:
    operator = operator_of(plane, namespace, replica="without-rights").start(wait=False)
    try:
        told = wait_for(
            "what is missing", lambda: "no namespace may be read" in readiness(operator) and readiness(operator)
        )
        assert "cannot list resource" in told
        assert f'namespace \\"{namespace}\\"' in told or f'namespace "{namespace}"' in told
        assert operator.log.read_text().count(f"namespace {namespace} {REFUSED}") >= 1
        give_rights(plane, served, namespace)
        wait_for("the operator", lambda: operator.ask("readyz") is not None)
    finally:
        operator.kill()
