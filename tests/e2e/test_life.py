"""`kubectl apply` to a report in the status, in pods of a real node, while Prometheus scrapes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chart.helm import KINDS, render
from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import children
from e2e.jobs import events, small_job, wait_for_end, write_corpus
from finetune_api import labels
from finetune_api.metrics import JOB_SCORE
from finetune_api.objects import Object
from monitoring.monitors import scrape_config
from monitoring.panels import filled_in, metric_queries
from monitoring.prometheus import Prometheus, running

NAME = "ui-en-es"
ORDER = [
    f"{event} {stage}"
    for stage in ("prepare", "pretrain", "adapt", "evaluate")
    for event in ("StageStarted", "StageCompleted")
]
MONITORS: Object = {"monitoring": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}}
SILENT = {"Restarts by cause", "Lost time by cause", "GPU utilisation", "GPU memory of ranks",
          "Model FLOPs utilization"}  # fmt: skip
"""Panels of *Run* about what this job does not have."""


@pytest.fixture(scope="module")
def prometheus(plane: ControlPlane, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, told by the chart's monitors what to scrape."""
    monitors = [o for o in render(MONITORS, *KINDS) if o["kind"] in ("ServiceMonitor", "PodMonitor")]
    scrapes = [scrape_config(monitor, plane.kubeconfig()) for monitor in monitors]
    rules = root / "manifests" / "monitoring" / "rules.yaml"
    with running(Prometheus(tmp_path_factory.mktemp("prometheus"), [rules], scrapes)) as server:
        yield server


def test_a_job_goes_from_apply_to_its_report(
    plane: ControlPlane,
    namespace: str,
    tmp_path: Path,
    prometheus: Prometheus,
    pytestconfig: pytest.Config,
) -> None:
    write_corpus(tmp_path)
    job = small_job(NAME, namespace, checkpoint={"everySteps": 10})
    job["spec"]["evaluate"]["publish"] = "ConfigMap"
    plane.apply(job)
    status = wait_for_end(plane, NAME, namespace)
    assert status["state"] == "Succeeded", status
    assert [stage["state"] for stage in status["stages"]] == ["Succeeded"] * 4
    assert status.get("restarts", 0) == 0
    scores = {(score["shots"], score["metric"]): score for score in status["evaluation"]["scores"]}
    assert scores[0, "BLEU"]["score"] > 0
    report = json.loads((tmp_path / "reports" / "report.json").read_text(encoding="utf-8"))
    maps = plane.get("configmaps", "-n", namespace, "-l", f"{labels.JOB}={NAME}")["items"]
    (published,) = [item["data"]["report.json"] for item in maps if item["metadata"]["name"].endswith("-report")]
    assert json.loads(published) == report

    columns = plane.kubectl("get", "ftj", NAME, "-n", namespace, "--no-headers").split()
    assert columns[:2] == [NAME, "Succeeded"]
    assert status["score"].split()[0] in columns
    seen = [event for event in events(plane, namespace) if event in ORDER]
    assert seen == ORDER

    check_pods_were_scraped(prometheus, namespace)
    if pytestconfig.getoption("--chart"):  # which has the Service that the ServiceMonitor names
        check_panels_were_answered(prometheus, namespace)


def check_pods_were_scraped(server: Prometheus, namespace: str) -> None:
    """By the PodMonitor: every stage but a short one, and both pods of a gang, with their namespaces and names."""
    steps = server.over_time(f'finetune_step{{namespace="{namespace}", finetunejob="{NAME}"}}')
    pods = {(one.labels["stage"], one.labels["pod"].rpartition("-")[0]) for one in steps}
    assert {stage for stage, _ in pods} >= {"pretrain", "adapt", "evaluate"}
    assert len({pod for stage, pod in pods if stage == "pretrain"}) == 2
    own_times = server.over_time(f'finetune_rank_step_seconds{{namespace="{namespace}", stage="pretrain"}}')
    assert {one.labels["rank"] for one in own_times} == {"0", "1"}


def check_panels_were_answered(server: Prometheus, namespace: str) -> None:
    """All of *Run* and *Operator* and nothing else; no alert fires."""
    scores = f'{JOB_SCORE.name}{{namespace="{namespace}", finetunejob="{NAME}"}}'
    wait_for("a scrape after the job's end", lambda: server.over_time(scores))
    asked = [(panel, filled_in(query, namespace, NAME)) for board, panel, query in metric_queries() if board == "run"]
    assert {panel for panel, query in asked if not server.over_time(query)} == SILENT
    own = [filled_in(query, "finetune-operator", "") for board, _, query in metric_queries() if board == "operator"]
    assert [query for query in own if not server.over_time(query)] == []
    assert server.firing() == set()


def test_operator_runs_as_installed_and_never_restarted(plane: ControlPlane) -> None:
    pod = plane.get("pods", "-n", "finetune-operator")["items"][0]
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    log = plane.kubectl("logs", "-n", "finetune-operator", "deployment/finetune-operator")
    assert '"level": "error"' not in log, log
    assert children(plane, "finetune-operator") == []
