"""QuestionAnswering: what lint refuses, what is trained on, what is tested, how answers are looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.job import FineTuneJobSpec
from finetune_api.questions import Answer, Question
from finetune_api.refusals import refusals
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadData
from finetune_trainer.metrics import joined, parted
from finetune_trainer.models import Head
from finetune_trainer.tasks import find_task
from finetune_trainer.tasks.interface import System
from finetune_trainer.tasks.question_answering.task import without_word
from finetune_trainer.tasks.question_answering.test_set import references, shortened
from tiny import tiny_model
from unit.data.test_prepare import prepare
from unit.tasks.specs import spec_of

SOURCE = {"name": "squad", "type": "QuestionAnswering", "languages": ["en"], "uri": "file:///q.jsonl"}
ADAPT: dict[str, Any] = {
    "task": {"type": "QuestionAnswering", "source": "squad"},
    "prompts": {"template": "Plain", "shots": [0]},
    "batch": {"globalTokens": 512, "sequenceLength": 64},
}
TEST = {"name": "qa", "type": "QuestionAnswering", "source": "squad", "metrics": ["TokenF1", "ExactMatch"]}


def spec(adapt: dict[str, Any] | None = None, test: dict[str, Any] | None = None, **changes: Any) -> FineTuneJobSpec:
    return spec_of(SOURCE, ADAPT | (adapt or {}), TEST | (test or {}), **changes)


def questions(path: Path, count: int = 60) -> dict[str, Any]:
    """Of each context one question with two right answers and one that it does not answer."""
    rows: list[dict[str, Any]] = []
    for n in range(count):
        context = f"Ida has {n} boats." + " They are red." * (60 if n == 7 else 1)
        rows.append({"id": f"{n}a", "context": context, "question": f"How many?\n({n})", "answers": [f"{n}",
                     f"{n} boats"]})  # fmt: skip
        rows.append({"id": f"{n}b", "context": context, "question": "Why?", "answers": [], "is_impossible": True})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return SOURCE | {"uri": f"file://{path}"}


def test_a_job_of_questions_has_no_problem() -> None:
    assert refusals(spec()) == []
    assert refusals(spec({"prompts": {"template": "Chat", "shots": [0], "lossOn": "All"}})) == []


def test_what_a_question_has_no_use_for_is_refused_by_field() -> None:
    adapt = {"task": {"type": "QuestionAnswering", "source": "ui"}, "prompts": {}}
    data = {"sources": [SOURCE | {"columns": {"text": "q"}}, spec().data.sources[1].to_json_object()]}
    test = {"shots": [1], "metrics": ["BLEU"], "direction": "en-es"}
    assert [(p.field, p.message) for p in refusals(spec(adapt, test, data=data))] == [
        ("spec.adapt.prompts.template",
         "template AdaptiveMT of QuestionAnswering is not supported yet: use Chat or Plain"),
        ("spec.adapt.prompts.shots[1]", "an example in the prompt of this task is not supported yet: use 0"),
        ("spec.evaluate.tasks[0].shots[0]", "an example in the prompt of this task is not supported yet: use 0"),
        ("spec.evaluate.tasks[0].metrics[0]",
         "BLEU of QuestionAnswering is not supported yet: use ExactMatch or TokenF1"),
        ("spec.data.sources[0].columns",
         "the keys of a QuestionAnswering source are id, context, question, answers and is_impossible: remove columns"),
        ("spec.adapt.task.source",
         "'ui' is Parallel: a QuestionAnswering task needs a source of type QuestionAnswering"),
        ("spec.evaluate.tasks[0].direction", "a QuestionAnswering task has no direction: remove it"),
    ]  # fmt: skip


def test_the_first_answer_carries_loss_and_a_fixed_word_where_there_is_none(tmp_path: Path) -> None:
    data, _, _ = prepare(tmp_path, questions(tmp_path / "q.jsonl"), split={"validation": 0.2, "test": 0.0})
    found = find_task("QuestionAnswering").training_data(spec().adapt, data, Head())  # type: ignore[arg-type]
    assert (found.objective, set(found.validation)) == ("CausalLM", {"answers"})
    assert found.counts["questions"] == found.counts["examples"] + found.counts["examples.tooLong"]
    assert found.counts["examples.tooLong"] in (0, 2)
    tokenizer = data.tokenizer()
    learnt = set()
    for index in range(len(found.train)):
        example = found.train[index]
        answer = str(tokenizer.decode(example.tokens[example.is_target].tolist())).removesuffix(tokenizer.eos_token)
        text = str(tokenizer.decode(example.tokens.tolist()))
        learnt.add("word" if answer.strip() == "unanswerable" else "number" if answer.strip().isdigit() else answer)
        assert (answer.strip() == "unanswerable") == ("Why?" in text)
        assert found.train.loss_units[index] == example.is_target.sum()
    assert learnt == {"word", "number"}


def test_rows_without_room_for_any_question_are_told(tmp_path: Path) -> None:
    data, _, _ = prepare(tmp_path, questions(tmp_path / "q.jsonl", 9), split={"validation": 0.0, "test": 0.0})
    short = spec({"batch": {"globalTokens": 16, "sequenceLength": 8}}).adapt
    with pytest.raises(BadData, match=r"sequenceLength: none of \d+ questions fits into 8 tokens"):
        find_task("QuestionAnswering").training_data(short, data, Head())  # type: ignore[arg-type]


def test_all_right_answers_are_references_and_parts_tell_the_unanswerable(tmp_path: Path) -> None:
    data, _, _ = prepare(tmp_path, questions(tmp_path / "q.jsonl"), split={"validation": 0.0, "test": 0.4})
    task = find_task("QuestionAnswering")
    test_set = task.test_set(spec(test={"maxSegments": 12, "maxNewTokens": 4}), data, 0)
    assert test_set.template == "Plain"
    for source, answers, context in zip(test_set.sources, test_set.references, test_set.contexts, strict=True):
        number = source.removeprefix("How many? (").removesuffix(")")
        assert answers == (("",) if source == "Why?" else (number, f"{number} boats"))
        assert context.startswith("Ida has ")
    assert {len(answers) for answers in test_set.references} == {1, 2}

    done: list[int] = []
    model = tiny_model()
    model.resize_token_embeddings(len(data.tokenizer()))
    outputs = task.predict(System(model, data.tokenizer(), Ranks(), None, done.append), test_set, 0).texts
    assert (len(outputs), sum(done)) == (12, 12)

    by_kind = task.groupings(test_set, 0)
    assert set(by_kind) == {"answerable", "context"}
    assert by_kind["answerable"].values.tolist() == [float(answers != ("",)) for answers in test_set.references]
    right = test_set.first_references
    assert task.diagnose(test_set, right) == {"unanswered": 0.0, "notInContext": 0.0}
    assert task.diagnose(test_set, [""] * 12) == {"unanswered": 1.0, "notInContext": 0.0}
    assert task.diagnose(test_set, ["a car", *right[1:]])["notInContext"] > 0


def test_the_word_for_no_answer_becomes_no_text() -> None:
    assert [without_word(text) for text in ("Unanswerable.", " unanswerable", "an unanswerable letter", "")] == [
        "", "", "an unanswerable letter", "",
    ]  # fmt: skip


def test_references_stand_in_one_field_and_come_apart_again() -> None:
    question = Question("x", "a ||| b", "?", (Answer("a ||| b", 0), Answer("a", 0), Answer("a", 0)))
    assert references(question) == ("a|||b", "a")
    assert parted(joined(references(question)), "QuestionAnswering") == references(question)
    assert parted(joined(("",)), "QuestionAnswering") == ("",)
    assert parted("a ||| b", "Translation") == ("a ||| b",)


@pytest.mark.parametrize("start", [0, 400, 990])
def test_a_long_context_is_shown_around_its_answer(start: int) -> None:
    words = " ".join(f"w{n:03}" for n in range(200))
    answer = words[start : start + 4]
    text = shortened(Question("x", words, "?", (Answer(answer, start),)))
    assert answer in text
    assert 180 < len(text) < 260
    assert (text.startswith("…"), text.endswith("…")) == (start > 0, start < 900)
    assert shortened(Question("x", "short\ntext", "?", ())) == "short text"
