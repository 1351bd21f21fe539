"""`kubectl apply` to a report in the status, in pods of a real node."""

from __future__ import annotations

import json
from pathlib import Path

from cluster.control_plane import ControlPlane
from cluster.jobs import children
from e2e.jobs import events, small_job, wait_for_end, write_corpus
from finetune_api import labels

ORDER = [
    f"{event} {stage}"
    for stage in ("prepare", "pretrain", "adapt", "evaluate")
    for event in ("StageStarted", "StageCompleted")
]


def test_a_job_goes_from_apply_to_its_report(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    job = small_job("ui-en-es", namespace)
    job["spec"]["evaluate"]["publish"] = "ConfigMap"
    plane.apply(job)
    status = wait_for_end(plane, "ui-en-es", namespace)
    assert status["state"] == "Succeeded", status
    assert [stage["state"] for stage in status["stages"]] == ["Succeeded"] * 4
    assert status.get("restarts", 0) == 0
    scores = {(score["shots"], score["metric"]): score for score in status["evaluation"]["scores"]}
    assert scores[0, "BLEU"]["score"] > 0
    report = json.loads((tmp_path / "reports" / "report.json").read_text(encoding="utf-8"))
    maps = plane.get("configmaps", "-n", namespace, "-l", f"{labels.JOB}=ui-en-es")["items"]
    (published,) = [item["data"]["report.json"] for item in maps if item["metadata"]["name"].endswith("-report")]
    assert json.loads(published) == report

    columns = plane.kubectl("get", "ftj", "ui-en-es", "-n", namespace, "--no-headers").split()
    assert columns[:2] == ["ui-en-es", "Succeeded"]
    assert status["score"].split()[0] in columns
    seen = [event for event in events(plane, namespace) if event in ORDER]
    assert seen == ORDER


def test_operator_runs_as_installed_and_never_restarted(plane: ControlPlane) -> None:
    pod = plane.get("pods", "-n", "finetune-operator")["items"][0]
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    log = plane.kubectl("logs", "-n", "finetune-operator", "deployment/finetune-operator")
    assert '"level": "error"' not in log, log
    assert children(plane, "finetune-operator") == []
