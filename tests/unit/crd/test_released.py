"""What could be written in the last version can still be written, or is told by name where it went.

No version has been released yet: `released.txt` is the API as it stood before the changes that CHANGELOG.md lists, and
the samples have not changed since. When a version is released, it is written anew from that version's CRDs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from finetune_api.crd import custom_resource_definitions
from finetune_api.job import FineTuneJob
from finetune_api.moved import MOVED
from finetune_operator.admission.manifest import problems_in_file, read_manifest
from finetune_operator.reconcile.unreadable import unreadable_status
from unit.crd.schemas import what_may_be_written

RELEASED = Path(__file__).with_name("released.txt").read_text(encoding="utf-8").splitlines()
SAMPLES = sorted((Path(__file__).resolve().parents[3] / "manifests" / "samples").glob("*.yaml"))
NOW = {name for crd in custom_resource_definitions().values() for name in what_may_be_written(crd)}
JOB = b"""\
apiVersion: finetune-operator.io/v1alpha1
kind: FineTuneJob
metadata: {name: old}
spec:
  model: {from: {uri: model}}
  data:
    sources:
    - {name: ui, type: Parallel, languages: [en, es], uri: ui.tsv, licence: MIT}
  adapt:
    method: Adapter
    task: {source: ui, direction: en-es}
"""


def told(job: bytes) -> list[str]:
    return [str(problem) for problem in read_manifest(job, "job.yaml")[1]]


def test_what_was_released_is_there_or_is_told_where_it_went() -> None:
    assert set(RELEASED) - NOW == set(MOVED)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_samples_that_were_released_are_read(path: Path) -> None:
    count, problems = problems_in_file(path.read_bytes(), path.name)
    assert count > 0
    assert problems == []


def test_a_job_that_is_stored_is_told_the_same_by_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOVED, "FineTuneJob spec.data.sources[].licence", "moved to spec.data.sources[].license")
    job = yaml.safe_load(JOB.replace(b"Adapter", b"LoRA"))
    with pytest.raises(ValidationError) as caught:
        FineTuneJob.from_json_object(job)
    status = unreadable_status(job, caught.value, datetime(2026, 1, 1, tzinfo=UTC))
    assert status is not None
    (condition,) = status["conditions"]
    assert condition["message"] == (
        "spec.data.sources[0].licence: moved to spec.data.sources[].license. "
        "Nothing is done for the job: mend it, or delete it"
    )


def test_a_field_and_a_name_that_moved_are_told_by_name_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = told(JOB)
    assert before[0] == "job.yaml:8 spec.data.sources[0].licence: unknown field: did you mean license?"
    assert before[1].startswith("job.yaml:10 spec.adapt.method: must be one of ")
    monkeypatch.setitem(MOVED, "FineTuneJob spec.data.sources[].licence", "moved to spec.data.sources[].license")
    monkeypatch.setitem(MOVED, "FineTuneJob spec.adapt.method=Adapter", "is called LoRA now")
    assert told(JOB) == [
        "job.yaml:8 spec.data.sources[0].licence: moved to spec.data.sources[].license",
        "job.yaml:10 spec.adapt.method: Adapter is called LoRA now",
    ]
