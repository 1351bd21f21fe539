"""What lint tells of questions whose files are on this machine."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.manifest import lint

ROW: dict[str, Any] = {"id": "a", "context": "Ida has a boat.", "question": "What?", "answers": ["a boat"]}
JOB = """\
apiVersion: finetune-operator.io/v1alpha1
kind: FineTuneJob
metadata: {{name: qa}}
spec:
  model: {{from: {{uri: hf-model}}}}
  data:
    sources:
    - {{name: squad, type: QuestionAnswering, languages: [en], uri: {name}{more}}}
{clean}  adapt:
    task: {{type: QuestionAnswering, source: squad}}
    prompts: {{template: Plain, shots: [0]}}
"""


def told(folder: Path, content: bytes, name: str = "q.jsonl", more: str = "", clean: str = "") -> list[str]:
    """Problems of the questions alone."""
    (folder / name).write_bytes(content)
    (folder / "job.yaml").write_text(JOB.format(name=name, more=more, clean=clean), encoding="utf-8")
    ((_, problems),) = lint(folder / "job.yaml")
    field = "spec.data.sources[0].uri: "
    return [str(p).split(field)[1].replace(f"{folder}/", "") for p in problems if field in str(p)]


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_rows_that_are_questions_have_no_problem(tmp_path: Path) -> None:
    nested = {"data": [{"paragraphs": [{"context": ROW["context"], "qas": [ROW]}]}]}
    assert told(tmp_path, lines(ROW, ROW | {"id": "b"})) == []
    assert told(tmp_path, json.dumps(nested).encode(), "q.json") == []
    assert told(tmp_path, gzip.compress(lines(ROW)), "q.jsonl.gz") == []


def test_all_problems_are_told_with_their_places_and_those_past_the_fifth_counted(tmp_path: Path) -> None:
    rows = [ROW | {"id": f"x{n}", "answers": ["a car"]} for n in range(5)]
    bad = lines(ROW, ROW, *rows) + b"[]\n{"
    assert told(tmp_path, bad) == [
        'q.jsonl:2 has the id "a" again: q.jsonl:1 has it',
        *(f'q.jsonl:{n + 3} has answers[0] "a car", which is not in the context (id "x{n}")' for n in range(4)),
        "q.jsonl: 3 more questions cannot be used",
    ]
    assert told(tmp_path, bad, more=", maxRows: 1") == []
    assert told(tmp_path, bad, clean="    clean: {onMalformed: Drop}\n") == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.json", b'{"data": [1]}', "q.json data[0] is no object"),
        ("q.json", b"{\n]", "q.json:2 is not JSON: Expecting property name"),
        ("q.jsonl", b"\xff", "q.jsonl:1 is not JSON: 'utf-8' codec can't decode"),
        ("q.jsonl.gz", b"plain", "q.jsonl.gz cannot be read: Not a gzipped file"),
    ],
)
def test_files_that_are_none_are_told(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (problem,) = told(tmp_path, content, name)
    assert problem.startswith(message)
