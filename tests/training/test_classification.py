"""A whole job of labelled texts: a tiny encoder learns which word decides, and is held to its baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification

from finetune_api.plan import Plan
from finetune_api.report import EvaluationReport
from finetune_trainer.context import StageContext
from finetune_trainer.stages import adapt, evaluate, prepare
from tiny_encoder import write_body
from training.prepared import make_plan_of_three

TOPICS = {"food": ["bread", "soup", "salt"], "music": ["song", "drum", "choir"], "rain": ["cloud", "storm", "wet"]}
FILLERS = ["we", "like", "the", "old", "of", "my", "town", "very", "much", "today"]


def write_topics(path: Path) -> Path:
    """Each text has one word that says what it is about, somewhere between two others."""
    rows = [
        {"text": f"{FILLERS[i]} {word} {FILLERS[(i + k) % len(FILLERS)]}", "label": topic}
        for topic, words in TOPICS.items()
        for k, word in enumerate(words)
        for i in range(len(FILLERS))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_plan(workspace: Path, stage: str) -> Plan:
    source = {"name": "topics", "type": "Labelled", "languages": ["en"], "uri": str(workspace / "topics.jsonl")}
    spec: dict[str, Any] = {
        "parallelism": {"engine": "DDP"},
        "model": {"from": {"uri": str(workspace / "base")}},
        "data": {"sources": [source], "split": {"validation": 0.15, "test": 0.25}},
        "adapt": {
            "method": "Full",
            "task": {"type": "Classification", "source": "topics"},
            "batch": {"globalTokens": 128, "sequenceLength": 16},
            "optimizer": {"learningRate": 0.01},
            "epochs": 16,
            "validateEverySteps": 10,
        },
        "evaluate": {
            "tasks": [{"name": "topic", "type": "Classification", "source": "topics", "metrics": ["Accuracy", "F1"]}],
            "gate": {"require": [{"metric": "Accuracy", "task": "topic", "betterThanBaseline": True}]},
        },
    }
    return make_plan_of_three(workspace, stage, spec)


def test_an_encoder_learns_labels_from_yaml_to_report(tmp_path: Path) -> None:
    write_topics(tmp_path / "topics.jsonl")
    write_body(tmp_path / "base", [*FILLERS, *(word for words in TOPICS.values() for word in words)])
    prepare.run(StageContext.single(make_plan(tmp_path, "prepare")))

    adapted = adapt.run(StageContext.single(make_plan(tmp_path, "adapt")))
    assert adapted.summary["validationLoss"] < 0.5 < adapted.summary["firstLoss"]
    assert adapted.summary["labels"] == 3
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "models/adapt")
    assert model.config.id2label == {0: "food", 1: "music", 2: "rain"}

    outcome = evaluate.run(StageContext.single(make_plan(tmp_path, "evaluate")))
    report = EvaluationReport.model_validate_json((tmp_path / "reports/report.json").read_text("utf-8"))
    (task,) = report.tasks
    accuracy, macro = task.scores
    assert macro.signature == "average:macro|labels:references|zero:0"
    assert sorted(c.name for c in task.classes) == ["food", "music", "rain"]
    assert sum(c.support for c in task.classes) == task.segments
    assert macro.score == pytest.approx(100 * sum(c.f1 for c in task.classes) / 3)
    assert task.confusion is not None
    assert sum(map(sum, task.confusion.counts)) == task.segments
    assert accuracy.score > 60
    assert accuracy.verdict == "Better"
    assert report.baseline is not None
    assert report.baseline.name == "most frequent label"
    assert any("has no head that could answer" in note for note in report.notes)
    assert outcome.evaluation is not None
    assert outcome.evaluation.gate == "Passed"

    rows = [line.split("\t") for line in (tmp_path / "reports/topic.0shot.tsv").read_text("utf-8").splitlines()[1:]]
    right = {word: topic for topic, words in TOPICS.items() for word in words}
    assert all(right[source.split()[1]] == reference for source, reference, _, _ in rows)
    assert accuracy.score == pytest.approx(100 * sum(row[1] == row[2] for row in rows) / len(rows))
    assert accuracy.baseline == pytest.approx(100 * sum(row[1] == row[3] for row in rows) / len(rows))
    assert len({row[3] for row in rows}) == 1
