"""Generation: what lint refuses, what is trained on, that loss is of answers alone, what is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.job import FineTuneJobSpec
from finetune_api.report import Score, TaskReport
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadData
from finetune_trainer.evaluation.outcome import conclude
from finetune_trainer.models import Head
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example, collate_sequences
from finetune_trainer.tasks import find_task
from finetune_trainer.tasks.interface import System
from tiny import tiny_model
from unit.data.test_prepare import prepare
from unit.tasks.specs import found, spec_of

SOURCE = {"name": "chat", "type": "Instruction", "languages": ["en"], "uri": "file:///chat.jsonl"}
ADAPT: dict[str, Any] = {
    "task": {"type": "Generation", "source": "chat"},
    "prompts": {"template": "Plain", "shots": [0]},
    "batch": {"globalTokens": 512, "sequenceLength": 64},
}
TEST = {"name": "qa", "type": "Generation", "source": "chat", "metrics": ["TokenF1", "ExactMatch", "chrF"]}


def spec(adapt: dict[str, Any] | None = None, test: dict[str, Any] | None = None, **changes: Any) -> FineTuneJobSpec:
    return spec_of(SOURCE, ADAPT | (adapt or {}), TEST | (test or {}), **changes)


def test_a_job_of_conversations_has_no_problem() -> None:
    assert found(spec()) == []
    assert found(spec({"prompts": {"template": "Chat", "shots": [0], "lossOn": "All"}})) == []


def test_what_a_conversation_has_no_use_for_is_refused_by_field() -> None:
    adapt = {
        "task": {"type": "Generation", "source": "ui", "direction": "en-es"},
        "prompts": {"retrieval": {"side": "Target"}},
    }
    test = {"source": "ui", "direction": "en-es", "shots": [1], "metrics": ["BLEU"], "robustness": ["Case"]}
    assert found(spec(adapt, test)) == [
        ("spec.adapt.prompts.template",
         "template AdaptiveMT of Generation is not supported yet: use Chat or Plain"),
        ("spec.adapt.prompts.shots[1]", "an example in the prompt of this task is not supported yet: use 0"),
        ("spec.evaluate.tasks[0].shots[0]", "an example in the prompt of this task is not supported yet: use 0"),
        ("spec.evaluate.tasks[0].robustness", "noise in Generation is not supported yet: remove it"),
        ("spec.evaluate.tasks[0].metrics[0]",
         "BLEU of Generation is not supported yet: use chrF, ExactMatch or TokenF1"),
        ("spec.adapt.task.source", "'ui' is Parallel: a Generation task needs a source of type Instruction"),
        ("spec.evaluate.tasks[0].source", "'ui' is Parallel: a Generation task needs a source of type Instruction"),
        ("spec.adapt.task.direction", "a Generation task has no direction: remove it"),
        ("spec.evaluate.tasks[0].direction", "a Generation task has no direction: remove it"),
        ("spec.adapt.prompts.retrieval",
         "a Generation task has no examples in its prompts that could be retrieved: remove it"),
    ]  # fmt: skip


def test_a_translation_is_no_conversation() -> None:
    translation = {"task": {"source": "ui", "direction": "en-es"}, "prompts": {"template": "Plain"}}
    usable = "AdaptiveMT, ALMA, Alpaca, ParroT, TIM, DiPMT, Chat or Custom"
    assert found(spec(translation)) == [
        ("spec.adapt.prompts.template", f"template Plain of Translation is not supported yet: use {usable}")
    ]


def test_a_model_from_scratch_has_no_chat_template() -> None:
    scratch = {"scratch": {"layers": 1, "hidden": 64, "heads": 2}}
    pretrain = {
        "objectives": [{"name": "lm", "type": "CausalLM", "source": "ui", "language": "en"}],
        "budget": {"tokens": 9},
    }
    chat = {"prompts": {"template": "Chat", "shots": [0]}}
    assert found(spec(chat, model=scratch, pretrain=pretrain)) == [
        ("spec.adapt.prompts.template", "a model from scratch has no chat template: use Plain")
    ]


def test_targets_are_the_marked_tokens_alone() -> None:
    marked = np.array([True, False, True, False, True])
    examples = [
        Example(np.arange(10, 15, dtype=np.int32), 1, marked),
        Example(np.arange(20, 24, dtype=np.int32), 2),
    ]
    batch = collate_sequences("CausalLM", [examples], 16, 0)
    assert batch.inputs["targets"].tolist() == [12, 14, 22, 23]
    ids = batch.inputs["input_ids"][0]
    assert torch.equal(ids[batch.inputs["loss_positions"] + 1], batch.inputs["targets"])


def conversations(path: Path, count: int = 120) -> dict[str, Any]:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What comes after {n}?"},
                {"role": "assistant", "content": f"It is {n + 1}."},
                {"role": "user", "content": "And then?" + " Please." * (60 if n == 7 else 0)},
                {"role": "assistant", "content": f"Then\n{n + 2}."},
            ]
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return SOURCE | {"uri": f"file://{path}"}


def test_training_data_are_whole_conversations_and_what_is_too_long_is_counted(tmp_path: Path) -> None:
    data, _, _ = prepare(tmp_path, conversations(tmp_path / "chat.jsonl"), split={"validation": 0.2, "test": 0.2})
    found = find_task("Generation").training_data(spec().adapt, data, Head())  # type: ignore[arg-type]
    assert found.objective == "CausalLM"
    assert found.counts["examples.tooLong"] == 1
    assert found.counts["examples"] == len(found.train) == found.counts["conversations"] - 1
    assert set(found.validation) == {"answers"}
    tokenizer = data.tokenizer()
    for examples in (found.train, found.validation["answers"]):
        for index in range(len(examples)):
            example = examples[index]
            text = str(tokenizer.decode(example.tokens.tolist()))
            assert text.count("User:") == text.count("Assistant:") == 2
            assert text.endswith(f".{tokenizer.eos_token}")
            assert examples.lengths[index] == len(example.tokens) <= 64
            assert examples.loss_units[index] == example.is_target.sum()
            learnt = str(tokenizer.decode(example.tokens[example.is_target].tolist()))
            first, last, _ = learnt.split(str(tokenizer.eos_token))
            assert first.startswith(" It is ")
            assert last.startswith(" Then\n")
    everything = spec({"prompts": {"template": "Plain", "shots": [0], "lossOn": "All"}}).adapt
    whole = find_task("Generation").training_data(everything, data, Head())  # type: ignore[arg-type]
    assert (whole.train.loss_units == whole.train.lengths - 1).all()
    batch = CausalLM().collate([[found.train[0]], [found.train[1]]], 64, 0)
    assert len(batch.inputs["targets"]) == found.train.loss_units[:2].sum()


def test_rows_without_room_for_any_conversation_are_told(tmp_path: Path) -> None:
    data, _, _ = prepare(tmp_path, conversations(tmp_path / "chat.jsonl"))
    short = spec({"batch": {"globalTokens": 16, "sequenceLength": 8}}).adapt
    with pytest.raises(BadData, match=r"sequenceLength: none of \d+ conversations fits into 8 tokens"):
        find_task("Generation").training_data(short, data, Head())  # type: ignore[arg-type]


def test_the_last_answer_is_what_is_asked_for(tmp_path: Path) -> None:
    data, _, _ = prepare(tmp_path, conversations(tmp_path / "chat.jsonl"), split={"validation": 0.1, "test": 0.3})
    task = find_task("Generation")
    test_set = task.test_set(spec(test={"maxSegments": 6, "maxNewTokens": 5}), data, 0)
    numbers = [int(source.split()[3].rstrip("?")) for source in test_set.sources]
    assert test_set.first_references == [f"Then {n + 2}." for n in numbers]
    assert test_set.sources[0].startswith(f"What comes after {numbers[0]}? It is {numbers[0] + 1}. And then?")
    model = tiny_model()
    model.resize_token_embeddings(len(data.tokenizer()))
    done: list[int] = []
    answers = task.predict(System(model, data.tokenizer(), Ranks(), None, done.append), test_set, 0)
    assert (len(answers.texts), sum(done)) == (6, 6)
    assert not any("\n" in text for text in answers.texts)
    assert task.diagnose(test_set, ["", *test_set.first_references[1:]]) == {"empty": pytest.approx(1 / 6)}


def test_no_score_of_a_conversation_is_beyond_use_by_itself() -> None:
    figures = {"baseline": 1.0, "delta": 2.0, "delta_low": 1.0, "delta_high": 3.0, "p_value": 0.001}
    score = Score(metric="chrF", score=3.0, low=2.0, high=4.0).model_copy(update=figures)
    task = TaskReport(name="qa", type="Generation", shots=0, segments=500, hypotheses="", scores=[score])
    assert conclude([task], 0.05).outcome == "Better"
    assert conclude([task.model_copy(update={"type": "Translation"})], 0.05).outcome == "NotUsable"
