"""A whole job of conversations: a tiny model with a chat template learns to answer, and is held to its baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from finetune_api.model import ScratchModel
from finetune_api.plan import Plan
from finetune_api.report import EvaluationReport
from finetune_trainer.context import StageContext
from finetune_trainer.models import save_model, scratch_model
from finetune_trainer.stages import adapt, evaluate, prepare
from training.prepared import TINY_MODEL, make_plan_of_three

OPPOSITES = {"hot": "cold", "big": "small", "old": "new", "wet": "dry", "fast": "slow", "high": "low"}
OPENINGS = ("please", "now", "tell me", "quick", "again", "well", "so", "and")
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]


def write_conversations(path: Path) -> Path:
    """Each row asks for two opposites in one conversation."""
    words = list(OPPOSITES)
    rows = []
    for number, (word, opening) in enumerate((w, o) for w in words for o in OPENINGS):
        other = words[(number + number // 8 + 1) % len(words)]
        turns = [("user", f"{opening} {other}"), ("assistant", OPPOSITES[other])]
        turns += [("user", f"{opening} {word}"), ("assistant", OPPOSITES[word])]
        rows.append({"messages": [{"role": role, "content": content} for role, content in turns]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_model(folder: Path) -> Path:
    words = [*OPPOSITES, *OPPOSITES.values(), *" ".join(OPENINGS).split()]
    vocabulary = ["<s>", "</s>", "<unk>", "<|end|>", *ROLES, *dict.fromkeys(words)]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=CHAT,
        additional_special_tokens=["<|end|>", *ROLES],
    )  # fmt: skip
    model = scratch_model(ScratchModel.model_validate(TINY_MODEL), tokenizer, seed=5)
    save_model(folder, model, model.named_parameters())
    tokenizer.save_pretrained(folder)
    return folder


def make_plan(workspace: Path, stage: str) -> Plan:
    source = {"name": "chat", "type": "Instruction", "languages": ["en"], "uri": str(workspace / "chat.jsonl")}
    spec: dict[str, Any] = {
        "parallelism": {"engine": "DDP"},
        "model": {"from": {"uri": str(workspace / "base")}},
        "data": {"sources": [source], "split": {"validation": 0.1, "test": 0.25}},
        "adapt": {
            "method": "Full",
            "task": {"type": "Generation", "source": "chat"},
            "prompts": {"template": "Chat", "shots": [0]},
            "batch": {"globalTokens": 256, "sequenceLength": 64},
            "optimizer": {"learningRate": 0.01},
            "epochs": 40,
            "validateEverySteps": 10,
        },
        "evaluate": {
            "tasks": [
                {"name": "answers", "type": "Generation", "source": "chat", "maxNewTokens": 4,
                 "metrics": ["TokenF1", "ExactMatch", "chrF"]},
            ],
            "gate": {"require": [{"metric": "ExactMatch", "task": "answers", "betterThanBaseline": True}]},
        },
    }  # fmt: skip
    return make_plan_of_three(workspace, stage, spec)


def test_a_model_learns_to_answer_from_yaml_to_report(tmp_path: Path) -> None:
    write_conversations(tmp_path / "chat.jsonl")
    write_model(tmp_path / "base")
    prepare.run(StageContext.single(make_plan(tmp_path, "prepare")))

    adapted = adapt.run(StageContext.single(make_plan(tmp_path, "adapt")))
    assert adapted.summary["loss"] < 0.1 < adapted.summary["firstLoss"]
    assert adapted.summary["validationLoss"] < 0.5
    assert adapted.summary["examples.tooLong"] == 0
    assert AutoTokenizer.from_pretrained(tmp_path / "models/adapt").chat_template == CHAT

    outcome = evaluate.run(StageContext.single(make_plan(tmp_path, "evaluate")))
    report = EvaluationReport.model_validate_json((tmp_path / "reports/report.json").read_text("utf-8"))
    (task,) = report.tasks
    scores = {score.metric: score for score in task.scores}
    assert list(scores) == ["TokenF1", "ExactMatch", "chrF"]
    assert scores["ExactMatch"].score > 80
    assert (scores["ExactMatch"].baseline or 0.0) < 20
    assert scores["ExactMatch"].signature == "norm:squad|articles:en|tok:blank"
    assert scores["TokenF1"].verdict == "Better"
    assert report.gate is not None
    assert report.gate.passed
    assert outcome.evaluation is not None
    assert outcome.evaluation.gate == "Passed"

    rows = [line.split("\t") for line in (tmp_path / "reports/answers.0shot.tsv").read_text("utf-8").splitlines()[1:]]
    assert task.segments == len(rows) >= 8
    exact = sum(output == reference for _, reference, output, _ in rows)
    assert scores["ExactMatch"].score == pytest.approx(100 * exact / len(rows))
    assert all(OPPOSITES[source.split()[-1]] == reference for source, reference, _, _ in rows)
    assert "TokenF1, higher is better" in (tmp_path / "reports/report.html").read_text("utf-8")
