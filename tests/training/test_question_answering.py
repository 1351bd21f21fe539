"""A whole job of questions: a tiny model learns to answer, and to say where the text does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from finetune_api.model import ScratchModel
from finetune_api.plan import Plan
from finetune_api.report import EvaluationReport
from finetune_trainer.context import StageContext
from finetune_trainer.models import save_model, scratch_model
from finetune_trainer.stages import adapt, evaluate, prepare
from training.prepared import TINY_MODEL, make_plan_of_three

COLOURS = ["red", "blue", "green", "black", "white", "pink"]
THINGS = ["boat", "lamp", "kite", "drum", "chair", "rug"]
LINE = ["Context", "Question", "Answer", ":", "\n", "Colour", "Price", "?", "unanswerable"]


def write_questions(path: Path) -> None:
    """In SQuAD's form: each text is a colour and a thing, asked for its colour, and for what it does not tell."""
    paragraphs = []
    for number, (colour, thing) in enumerate((c, t) for c in COLOURS for t in THINGS):
        context = f"{colour} {thing}"
        answers = [{"text": colour, "answer_start": 0}, {"text": context, "answer_start": 0}]
        asked = [
            {"id": f"{number}c", "question": "Colour ?", "answers": answers, "is_impossible": False},
            {"id": f"{number}p", "question": "Price ?", "answers": [], "is_impossible": True},
        ]
        paragraphs.append({"context": context, "qas": asked})
    path.write_text(json.dumps({"version": "v2.0", "data": [{"paragraphs": paragraphs}]}), encoding="utf-8")


def write_model(folder: Path) -> None:
    vocabulary = ["<s>", "</s>", "<unk>", *LINE, *COLOURS, *THINGS]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(mark, "isolated") for mark in ("\n", ":")] + [pre_tokenizers.Split(" ", "removed")]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    model = scratch_model(ScratchModel.model_validate(TINY_MODEL), tokenizer, seed=5)
    save_model(folder, model, model.named_parameters())
    tokenizer.save_pretrained(folder)


def make_plan(workspace: Path, stage: str) -> Plan:
    source = {"name": "qa", "type": "QuestionAnswering", "languages": ["en"], "uri": str(workspace / "train.json")}
    spec: dict[str, Any] = {
        "parallelism": {"engine": "DDP"},
        "model": {"from": {"uri": str(workspace / "base")}},
        "data": {"sources": [source], "split": {"validation": 0.1, "test": 0.25}},
        "adapt": {
            "method": "Full",
            "task": {"type": "QuestionAnswering", "source": "qa"},
            "prompts": {"template": "Plain", "shots": [0]},
            "batch": {"globalTokens": 256, "sequenceLength": 64},
            "optimizer": {"learningRate": 0.01},
            "epochs": 30,
        },
        "evaluate": {
            "tasks": [
                {"name": "answers", "type": "QuestionAnswering", "source": "qa", "maxNewTokens": 4,
                 "metrics": ["TokenF1", "ExactMatch"]},
            ],
            "gate": {"require": [{"metric": "ExactMatch", "task": "answers", "betterThanBaseline": True}]},
        },
    }  # fmt: skip
    return make_plan_of_three(workspace, stage, spec)


def test_a_model_learns_to_answer_and_when_not_to(tmp_path: Path) -> None:
    write_questions(tmp_path / "train.json")
    write_model(tmp_path / "base")
    prepare.run(StageContext.single(make_plan(tmp_path, "prepare")))
    adapted = adapt.run(StageContext.single(make_plan(tmp_path, "adapt")))
    assert adapted.summary["loss"] < 0.2 < adapted.summary["firstLoss"]

    evaluate.run(StageContext.single(make_plan(tmp_path, "evaluate")))
    report = EvaluationReport.model_validate_json((tmp_path / "reports/report.json").read_text("utf-8"))
    (task,) = report.tasks
    scores = {score.metric: score for score in task.scores}
    assert scores["ExactMatch"].score > 80
    assert (scores["ExactMatch"].baseline or 0.0) < 60  # who says nothing is right where there is no answer
    assert scores["ExactMatch"].verdict == "Better"
    assert report.gate is not None
    assert report.gate.passed
    assert {part.name for part in task.buckets["answerable"]} == {"no answer in it", "an answer in it"}
    assert set(task.diagnostics) == {"unanswered", "notInContext"}

    header, *rows = [line.split("\t") for line in (tmp_path / "reports/answers.0shot.tsv").read_text().splitlines()]
    assert header == ["source", "reference", "hypothesis", "baseline", "context"]
    assert task.segments == len(rows) >= 8
    wanted = {(colour if question == "Colour ?" else "", reference) for question, reference, _, _, context in rows
              for colour in [context.split()[0]]}  # fmt: skip
    assert all(reference in ("", f"{first} ||| {reference.split(' ||| ')[-1]}") for first, reference in wanted)
    exact = sum(output in reference.split(" ||| ") for _, reference, output, _, _ in rows)
    assert scores["ExactMatch"].score == pytest.approx(100 * exact / len(rows))
    page = (tmp_path / "reports/report.html").read_text("utf-8")
    assert "by whether the context answers" in page
    assert "<dt>Context</dt>" in page
