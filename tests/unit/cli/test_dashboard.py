"""The page about a run: what it shows while the run is written, and who may ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from finetune_api.objects import Object
from finetune_cli.dashboard.server import application
from unit.cli.commands import finetune
from unit.reconcile.lives import evaluation, run_through
from unit.reconcile.world import World, job_object

Answer = tuple[int, str]
ROW = {"step": 1, "tokens": 1024, "seconds": 0.5, "loss": 6.0, "tokensPerSecond": 2048.0}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Of a job that has ended, with a name that is no HTML."""
    world = World(job_object())
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=evaluation("None"))
    job = world.job
    job["status"]["stages"][1]["message"] = "<script>alert(1)</script>"
    write(tmp_path, job)
    (tmp_path / "logs").mkdir()
    rows = [ROW | {"step": step, "loss": 6.0 / step} for step in (1, 2, 3)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "logs" / "pretrain-history.jsonl").write_text(text + '{"step": 4, "tok', encoding="utf-8")
    return tmp_path


def write(folder: Path, job: Object) -> None:
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")


def asked(workspace: Path, path: str, **headers: str) -> Answer:
    async def ask() -> Answer:
        async with TestClient(TestServer(application(workspace))) as client:
            answer = await client.get(path, headers=headers)
            return answer.status, await answer.text()

    return asyncio.run(ask())


def test_the_page_shows_what_must_be_known_first_and_the_difference(workspace: Path) -> None:
    job = json.loads((workspace / "job.json").read_text(encoding="utf-8"))
    job["status"]["evaluation"]["warnings"] = ["en-es: empty 50.0 % <b>"]
    job["status"]["evaluation"]["scores"][0] |= {"deltaLow": 8.94, "deltaHigh": 10.6}
    write(workspace, job)
    _, page = asked(workspace, "/")
    assert "⚠ en-es: empty 50.0 % &lt;b&gt;" in page
    assert "+8.9 to +10.6" in page


def test_the_page_shows_stages_curves_and_scores(workspace: Path) -> None:
    status, page = asked(workspace, "/")
    assert status == 200
    assert page.count("<figure>") == 2
    assert "chrF++ 31.5 (+11.8)" in page
    assert 'http-equiv="refresh"' not in page, "it has ended"
    assert "No curves yet" not in page


def test_what_a_stage_said_is_text_and_no_script_may_run(workspace: Path) -> None:
    _, page = asked(workspace, "/")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page


def test_a_run_that_goes_on_is_asked_for_again(workspace: Path) -> None:
    job = json.loads((workspace / "job.json").read_text())
    del job["status"]["completionTime"]
    write(workspace, job)
    assert 'http-equiv="refresh"' in asked(workspace, "/")[1]


def test_a_file_that_is_being_written_is_no_error(workspace: Path) -> None:
    (workspace / "job.json").write_text('{"meta')
    assert asked(workspace, "/")[0] == 503
    assert asked(workspace, "/metrics")[0] == 200


def test_before_the_first_step_there_are_no_curves(workspace: Path) -> None:
    (workspace / "logs" / "pretrain-history.jsonl").unlink()
    assert "No curves yet" in asked(workspace, "/")[1]


def test_the_report_is_there_once_it_is_written(workspace: Path) -> None:
    assert asked(workspace, "/report")[0] == 404
    (workspace / "reports").mkdir()
    (workspace / "reports" / "report.html").write_text("the report")
    assert asked(workspace, "/report") == (200, "the report")
    assert 'href="report"' in asked(workspace, "/")[1]


def test_metrics_are_those_of_the_operator(workspace: Path) -> None:
    text = asked(workspace, "/metrics")[1]
    assert "kube_finetunejob_state{" in text
    assert "kube_finetunejob_evaluation_score{" in text


def test_targets_are_the_pods_that_run(workspace: Path) -> None:
    pods = workspace / ".finetune" / "objects" / "Pod" / "default"
    pods.mkdir(parents=True)
    for name, phase in (("one", "Running"), ("two", "Succeeded")):
        pod = {"metadata": {"namespace": "default", "name": name}, "status": {"phase": phase, "podIP": "127.1.2.3"}}
        (pods / f"{name}.json").write_text(json.dumps({"object": pod}))
    (pods / "three.json").write_text("{")
    assert json.loads(asked(workspace, "/targets")[1]) == [
        {"targets": ["127.1.2.3:9400"], "labels": {"namespace": "default", "pod": "one"}}
    ]


@pytest.mark.parametrize("path", ["/", "/job.json", "/metrics", "/targets", "/report"])
def test_a_name_made_to_point_here_gets_nothing(workspace: Path, path: str) -> None:
    status, text = asked(workspace, path, Host="elsewhere.example.com")
    assert status == 421
    assert "tiny" not in text


def test_nothing_but_reading(workspace: Path) -> None:
    async def status_of(method: Callable[[TestClient[Any, Any]], Awaitable[Any]]) -> int:
        async with TestClient(TestServer(application(workspace))) as client:
            return int((await method(client)).status)

    assert asyncio.run(status_of(lambda client: client.post("/"))) == 405
    assert asyncio.run(status_of(lambda client: client.get("/../job.yaml"))) == 404


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    result = finetune(tmp_path, "dashboard", "--workspace", "nowhere")
    assert result.returncode == 2
    assert "Start one with: finetune run" in result.stderr
