from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_operator.cluster.interface import ClusterError
from finetune_operator.control.recorder import SeriesRecorder
from finetune_operator.reconcile.types import EventRecord
from unit.admission.rule_cases import changed

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
RECORD = EventRecord("Normal", "StageStarted", "pretrain: attempt 1", "pretrain")
OWN_WORDS = "file:///a-customer-of-ours.tsv"


async def unreachable(_: Object) -> Object:
    raise ClusterError("the API server did not answer")


def test_an_event_that_is_not_written_is_logged_with_the_name_of_its_job_and_nothing_of_the_spec(
    caplog: pytest.LogCaptureFixture,
) -> None:
    value = changed({"data.sources.0.uri": OWN_WORDS}) | {"metadata": {"name": "one", "namespace": "team"}}
    job = FineTuneJob.from_json_object(value)
    assert OWN_WORDS in str(job)
    asyncio.run(SeriesRecorder(unreachable, unreachable, "replica").record(job, [RECORD], NOW))
    assert caplog.messages == ["team/one: event StageStarted was not written: the API server did not answer"]
    assert OWN_WORDS not in str([entry.args for entry in caplog.records])


def test_events_that_are_not_written_are_no_error_of_the_visit(caplog: pytest.LogCaptureFixture) -> None:
    job = FineTuneJob.from_json_object(changed({}))
    written: list[str] = []

    async def create(event: Object) -> Object:
        if event["reason"] == "StageStarted":
            raise ClusterError("the API server did not answer")
        written.append(event["reason"])
        return event

    after = EventRecord("Normal", "StageCompleted", "pretrain: done", "pretrain")
    asyncio.run(SeriesRecorder(create, create, "replica").record(job, [RECORD, after], NOW))
    assert written == ["StageCompleted"]
    assert len(caplog.records) == 1
