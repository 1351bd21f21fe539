"""What makes a finished job begin anew."""

from __future__ import annotations

import copy
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from finetune_api.objects import Object
from finetune_cli.freshness import what_changed


def finished(corpus: Path, began: float) -> Object:
    start = datetime.fromtimestamp(began, UTC).isoformat()
    return {
        "spec": {
            "data": {"sources": [{"name": "ui", "uri": f"file://{corpus}", "languages": ["en", "es"]}]},
            "pretrain": {"budget": {"tokens": 100}},
            "failurePolicy": {"hangSeconds": 600},
            "suspend": True,
        },
        "status": {"state": "Succeeded", "stages": [{"name": "prepare", "startTime": start}]},
    }


@pytest.mark.parametrize("kind", ["file", "folder", "{lang}"])
def test_an_edited_corpus_is_noticed_even_with_its_old_date(kind: str, tmp_path: Path) -> None:
    (tmp_path / "po").mkdir()
    file = {"file": "ui.tsv", "folder": "po/es.po", "{lang}": "ui.es"}[kind]
    uri = {"file": "ui.tsv", "folder": "po", "{lang}": "ui.{lang}"}[kind]
    (tmp_path / file).write_text("a")
    job = finished(tmp_path / uri, time.time() + 1.0)
    assert what_changed(job, job) is None
    job = finished(tmp_path / uri, time.time() - 1.0)
    (tmp_path / file).write_text("b")
    os.utime(tmp_path / file, (0, 0))
    assert str(what_changed(job, job)).startswith(f"changed since the last run: {tmp_path}")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("pretrain", {"budget": {"tokens": 200}}, "changed since the last run: spec.pretrain"),
        ("evaluate", {"tasks": []}, "changed since the last run: spec.evaluate"),
        ("pretrain", None, "changed since the last run: spec.pretrain"),
        ("failurePolicy", {"hangSeconds": 60}, None),
        ("suspend", False, None),
        ("workspace", {"path": "/w"}, None),
        ("lineage", {"parent": "base"}, "changed since the last run: spec.lineage.parent"),
        ("lineage", {"hypothesis": "more is better"}, None),
    ],
)
def test_blocks_that_decide_what_a_stage_makes(field: str, value: Any, expected: str | None, tmp_path: Path) -> None:
    stored = finished(tmp_path / "gone", time.time())
    submitted = copy.deepcopy(stored)
    submitted["spec"][field] = value
    assert what_changed(stored, submitted) == expected


def test_a_failed_run_begins_anew_and_one_that_never_began_goes_on(tmp_path: Path) -> None:
    job = finished(tmp_path / "gone", time.time())
    assert what_changed(job | {"status": {"state": "Failed"}}, job) == "the last run failed"
    assert what_changed(job | {"status": None}, job) is None
