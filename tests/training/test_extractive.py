"""A whole job of an extractive head: a tiny encoder learns to mark answers in texts that are longer than a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForQuestionAnswering

from finetune_api.plan import Plan
from finetune_api.report import EvaluationReport
from finetune_trainer.context import StageContext
from finetune_trainer.stages import adapt, evaluate, prepare
from tiny_encoder import write_body
from training.prepared import make_plan_of_three

COLOURS = ["red", "blue", "green", "black", "white", "pink"]
THINGS = ["boat", "lamp", "kite", "drum", "chair", "rug"]
FILLERS = ["we", "like", "the", "old", "of", "my", "town", "very", "much", "today"]


def write_questions(path: Path) -> None:
    """Each text has a colour among other words, and is asked for it, and for what is not there."""
    rows: list[dict[str, Any]] = []
    for number, (colour, thing) in enumerate((c, t) for c in COLOURS for t in THINGS * 2):
        words = [FILLERS[(number * 7 + k) % len(FILLERS)] for k in range(14)]
        words[number * 5 % 14] = colour
        context = f"{' '.join(words)} {thing}"
        answer = {"text": colour, "answer_start": context.index(colour)}
        rows.append({"id": f"{number}c", "context": context, "question": "which colour", "answers": [answer]})
        rows.append(
            {"id": f"{number}p", "context": context, "question": "what price", "answers": [], "is_impossible": True}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_plan(workspace: Path, stage: str) -> Plan:
    source = {"name": "qa", "type": "QuestionAnswering", "languages": ["en"], "uri": str(workspace / "qa.jsonl")}
    task = {"type": "ExtractiveQuestionAnswering", "source": "qa"}
    spec: dict[str, Any] = {
        "parallelism": {"engine": "DDP"},
        "model": {"from": {"uri": str(workspace / "base")}},
        "data": {"sources": [source], "split": {"validation": 0.1, "test": 0.25}},
        "adapt": {
            "method": "Full",
            "task": task,
            "batch": {"globalTokens": 256, "sequenceLength": 16},
            "optimizer": {"learningRate": 0.01},
            "epochs": 12,
        },
        "evaluate": {
            "tasks": [task | {"name": "answers", "metrics": ["TokenF1", "ExactMatch"]}],
            "gate": {"require": [{"metric": "ExactMatch", "task": "answers", "minimum": 60}]},
        },
    }
    return make_plan_of_three(workspace, stage, spec)


def test_an_encoder_learns_to_mark_answers_from_yaml_to_report(tmp_path: Path) -> None:
    write_questions(tmp_path / "qa.jsonl")
    write_body(tmp_path / "base", [*COLOURS, *THINGS, *FILLERS, "which", "colour", "what", "price"])
    prepare.run(StageContext.single(make_plan(tmp_path, "prepare")))
    adapted = adapt.run(StageContext.single(make_plan(tmp_path, "adapt")))
    assert adapted.summary["loss"] < 0.5 < adapted.summary["firstLoss"]
    assert adapted.summary["examples"] > adapted.summary["questions"]  # windows
    assert AutoModelForQuestionAnswering.from_pretrained(tmp_path / "models/adapt").config.num_labels == 2

    evaluate.run(StageContext.single(make_plan(tmp_path, "evaluate")))
    report = EvaluationReport.model_validate_json((tmp_path / "reports/report.json").read_text("utf-8"))
    (task,) = report.tasks
    scores = {score.metric: score for score in task.scores}
    assert scores["ExactMatch"].score > 80
    assert report.baseline is None
    assert any(note.startswith("No baseline: the model before adaptation has no head") for note in report.notes)
    assert report.gate is not None
    assert report.gate.passed
    rows = [line.split("\t") for line in (tmp_path / "reports/answers.0shot.tsv").read_text("utf-8").splitlines()[1:]]
    assert all(output in context for _, _, output, _, context in rows)
    exact = sum(output == reference for _, reference, output, _, _ in rows)
    assert scores["ExactMatch"].score == pytest.approx(100 * exact / len(rows))
