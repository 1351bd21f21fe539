"""What a running stage shows of itself."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from finetune_api import metrics
from finetune_api.progress import Phase, Progress
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.observe.progress import LONG_PHASES, ProgressReporter
from finetune_trainer.observe.server import MAX_CONNECTIONS, ProgressServer, _Handler, serve
from unit.pod.plans import make_plan

LABELS = {"finetunejob": "tiny", "stage": "pretrain", "attempt": "1"}


@pytest.fixture
def reporter() -> ProgressReporter:
    return ProgressReporter(make_plan(Path("w")))


@pytest.fixture
def server(reporter: ProgressReporter) -> Iterator[ProgressServer]:
    server = serve(reporter, "127.0.0.1", 0, is_main=True)
    yield server
    server.close()


def get(server: ProgressServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def value_of(reporter: ProgressReporter, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(reporter.metrics.expose()[1].decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == LABELS | labels:
                return sample.value
    return None


def test_a_report_is_shown_until_somebody_says_that_it_is_published(
    reporter: ProgressReporter, server: ProgressServer
) -> None:
    assert get(server, "/report")[0] == 404
    answers: list[bytes] = []

    def fetch() -> bool:
        if get(server, "/report")[0] == 200 and not answers:
            answers.append(get(server, "/report")[1])
            assert get(server, "/report/published")[0] == 404
            assert get(server, "/report/published", "POST")[0] == 204
        return False

    assert reporter.publish(b"{}", fetch, 30.0) is True
    assert answers == [b"{}"]
    assert reporter.snapshot().phase == "Publishing"


def test_publishing_ends_in_time_and_when_the_stage_is_stopped(reporter: ProgressReporter) -> None:
    assert reporter.publish(b"{}", lambda: False, 0.0) is False
    assert reporter.publish(b"{}", lambda: True, 600.0) is False


def test_progress_is_what_was_reported(reporter: ProgressReporter, server: ProgressServer) -> None:
    reporter.update(phase="Training", step=10, total_steps=40, loss=2.5, mixture={"mt": 0.75}, tokens=4096)
    status, body = get(server, "/progress")
    assert status == 200
    progress = Progress.model_validate_json(body)
    assert (progress.stage, progress.phase, progress.progress.percent) == ("pretrain", "Training", 25)
    assert progress.progress.mixture == {"mt": 0.75}
    assert progress.progress.heartbeat is not None
    reporter.update(step=11)
    assert reporter.snapshot().progress.loss == 2.5


@pytest.mark.parametrize("phase", LONG_PHASES)
def test_the_heart_beats_by_itself_in_a_long_phase_until_its_bound(
    phase: Phase, reporter: ProgressReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("finetune_trainer.observe.progress.time.monotonic", lambda: now)

    def beats() -> bool:
        return reporter.snapshot().progress.heartbeat != reporter.snapshot().progress.heartbeat

    reporter.update(phase=phase)
    assert beats()
    now += LONG_PHASES[phase] - 1
    assert beats()
    now += 2
    assert not beats(), "an endless one is a hang"
    reporter.update(phase="Training", step=1)
    assert not beats(), "a step that does not end is a hang"


def test_a_loss_that_is_not_a_number_is_still_json(reporter: ProgressReporter, server: ProgressServer) -> None:
    reporter.update(phase="Training", step=1, loss=float("nan"))
    json.loads(get(server, "/progress")[1], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_time_left_follows_from_the_pace(reporter: ProgressReporter, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("finetune_trainer.observe.progress.time.monotonic", lambda: now)
    for step in range(1, 11):
        now = 2.0 * step
        reporter.update(phase="Training", step=step, total_steps=20)
    assert reporter.snapshot().progress.eta_seconds == 20


def test_start_up_is_what_passed_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_trainer.observe.times.time.monotonic", lambda: 130.0)
    reporter = ProgressReporter(make_plan(Path("w")), started=100.0)
    reporter.add_time("data", 4.0)
    reporter.add_time("productive", 6.0)
    reporter.mark_saved()
    reporter.add_time("productive", 1.0)
    total = metrics.TIME.exposed_name
    assert value_of(reporter, total, kind="startup") == 20.0
    assert value_of(reporter, total, kind="data") == 4.0
    assert value_of(reporter, total, kind="productive") == 7.0
    assert (reporter.productive_seconds, reporter.saved_productive_seconds) == (7.0, 6.0)


def test_metrics_have_the_names_of_the_contract(reporter: ProgressReporter, server: ProgressServer) -> None:
    reporter.update(step=3, loss=1.5, learning_rate=1e-3, gradient_norm=0.5, mixture={"mt": 1.0})
    own = reporter.metrics
    own.add_tokens("target", 100)
    own.add_arm_tokens("mt", 100)
    own.step_seconds(3, 0.3)
    own.rank(0, 0.2, 5e8, {"peak": 1e9})
    own.mfu("full", 0.4)
    own.arm("mt", 1.0, 0.1, 1.5)
    own.nonfinite_step()
    own.validation("all", 1.25)
    own.score("chrF++", "en-es", 31.0)
    reporter.checkpointed(3, 0.1, 0.5, 1000)
    reporter.add_time("productive", 1.0)
    exposed = {family.name for family in text_string_to_metric_families(get(server, "/metrics")[1].decode())}
    exposed = {name for name in exposed if not name.endswith("_created")}
    assert {metric.name for metric in metrics.ALL_METRICS if metric.part == "trainer"} == exposed
    assert value_of(reporter, metrics.TOKENS.exposed_name, kind="target") == 100.0
    assert value_of(reporter, metrics.RANK_STEP_SECONDS.name, rank="0") == 0.2
    assert value_of(reporter, metrics.DEVICE_MEMORY.name, rank="0", kind="peak") == 1e9


def test_a_slow_step_can_be_found_by_its_exemplar(reporter: ProgressReporter, server: ProgressServer) -> None:
    reporter.metrics.step_seconds(41, 0.3)
    reporter.metrics.step_seconds(42, 700.0)
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.server_address[1]}/metrics", headers={"Accept": "application/openmetrics-text"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        families = list(openmetrics_families(answer.read().decode()))  # type: ignore[no-untyped-call]
    (steps,) = (family for family in families if family.name == metrics.STEP_DURATION.name)
    found = {sample.exemplar.labels["step"]: sample.exemplar.value for sample in steps.samples if sample.exemplar}
    assert found == {"41": 0.3, "42": 700.0}


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/", 404), ("/progress/../x", 404), ("/metrics?x=1", 200)]
)
def test_only_known_pages_are_served(path: str, status: int, server: ProgressServer) -> None:
    assert get(server, path)[0] == status


def test_pages_are_only_read(server: ProgressServer) -> None:
    assert get(server, "/progress", "POST")[0] == 404
    assert get(server, "/progress", "PUT")[0] == 501


def test_other_ranks_serve_no_progress(reporter: ProgressReporter) -> None:
    server = serve(reporter, "127.0.0.1", 0, is_main=False)
    try:
        assert get(server, "/progress")[0] == 404
        assert get(server, "/metrics")[0] == 200
    finally:
        server.close()


def test_silent_clients_do_not_keep_others_out_for_ever(
    server: ProgressServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "timeout", 0.2)
    address = ("127.0.0.1", server.server_address[1])
    silent = [socket.create_connection(address, timeout=5) for _ in range(MAX_CONNECTIONS)]
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                assert get(server, "/healthz")[0] == 200
                break
            except (ConnectionError, http.client.HTTPException):
                assert time.monotonic() < deadline, "the server did not come back"
    finally:
        for connection in silent:
            connection.close()


def test_a_taken_port_is_said_plainly(reporter: ProgressReporter, server: ProgressServer) -> None:
    port = int(server.server_address[1])
    with pytest.raises(BadConfiguration, match=f"127.0.0.1:{port}: Address already in use") as caught:
        serve(reporter, "127.0.0.1", port, is_main=True)
    assert caught.value.reason == "PortTaken"
