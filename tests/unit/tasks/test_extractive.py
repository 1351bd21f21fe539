"""Extractive question answering: windows, spans, the loss of their ends, the best answer, what lint refuses."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from finetune_api.job import FineTuneJobSpec
from finetune_api.pretrained import conflicts_with_model, read_pretrained
from finetune_api.questions import Answer, Question
from finetune_api.refusals import refusals
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import Head, load_model
from finetune_trainer.objectives.padded import HeadExample, PaddedRow
from finetune_trainer.objectives.span_extraction import SpanExtraction
from finetune_trainer.tasks.question_answering.best_span import best_answers, best_span
from finetune_trainer.tasks.question_answering.windows import Window, encode_windows
from tiny_encoder import word_tokenizer, write_body

WORDS = [f"w{n:02}" for n in range(60)]
CONTEXT = " ".join(WORDS[:40])


def question(answer: str = "", context: str = CONTEXT, asks: str = "w50 w51") -> Question:
    answers = (Answer(answer, context.index(answer)),) if answer else ()
    return Question("q", context, asks, answers)


def words(window: Window, span: Any, context: str = CONTEXT) -> str:
    return context[window.starts[span[0]] : window.ends[span[1]]]


def test_a_long_context_comes_in_windows_that_overlap_and_keep_places() -> None:
    tokenizer = word_tokenizer(WORDS)
    asked = [question("w03 w04"), question("w21"), question(context="w01 w02")]
    windows, cut = encode_windows(tokenizer, asked, 24)
    assert cut == 0
    assert [window.question for window in windows] == sorted(window.question for window in windows)
    for window in windows:
        tokens = tokenizer.convert_ids_to_tokens(window.row.tokens.tolist())
        assert len(tokens) <= 24
        assert tokens[:4] == ["<s>", "w50", "w51", "</s>"]
        assert window.row.types is not None
        assert (window.row.types == 1).sum() == (window.starts >= 0).sum() + 1
        shown = [asked[window.question].context[a:b] for a, b in zip(window.starts, window.ends, strict=True) if a >= 0]
        assert shown == tokens[4:-1]
    first = [window for window in windows if window.question == 0]
    seen = [set(window.starts[window.starts >= 0].tolist()) for window in first]
    assert len(first) > 2
    assert all(len(a & b) == 5 for a, b in pairwise(seen))  # a quarter of the room
    assert set().union(*seen) == {4 * n for n in range(40)}
    spans = [window.span_of(asked[0].answers[0]) for window in first]
    assert [words(w, s) if s.any() else "" for w, s in zip(first, spans, strict=True)] == [
        "w03 w04", *[""] * (len(first) - 1),
    ]  # fmt: skip
    assert not windows[-1].span_of(None).any()


def test_an_answer_that_a_window_cuts_is_not_in_it() -> None:
    windows, _ = encode_windows(word_tokenizer(WORDS), [question(" ".join(WORDS[10:30]))], 24)
    assert not any(window.span_of(question(" ".join(WORDS[10:30])).answers[0]).any() for window in windows)


def test_of_a_long_question_the_first_half_of_the_room_is_kept() -> None:
    windows, cut = encode_windows(word_tokenizer(WORDS), [question(asks=" ".join(WORDS))], 24)
    assert cut == 1
    assert all((window.starts < 0).sum() == 10 + 3 for window in windows)


def test_a_causal_tokenizer_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="a row has no place that says: no answer"):
        encode_windows(word_tokenizer(WORDS, encoder=False), [question()], 24)


def test_the_loss_is_cross_entropy_of_both_ends_without_padding(tmp_path: Path) -> None:
    head = Head("AutoModelForQuestionAnswering", may_be_new=True)
    model = load_model(write_body(tmp_path / "m", WORDS), "model", head)
    model.eval()  # type: ignore[no-untyped-call]
    rows = [np.array([1, 5, 6, 2, 7, 8, 9, 2], np.int32), np.array([1, 5, 2, 7, 2], np.int32)]
    targets = [np.array([4, 5]), np.array([0, 0])]
    examples = [HeadExample(PaddedRow(row), target) for row, target in zip(rows, targets, strict=True)]
    objective = SpanExtraction()
    batch = objective.collate([[examples[0]], [examples[1]], []], 8, 0)
    found = objective.loss(model, **batch.inputs)
    assert int(found.loss_units) == 4
    expected = 0.0
    for row, (start, end) in zip(rows, targets, strict=True):
        output = model(input_ids=torch.from_numpy(row).long()[None])
        for logits, place in ((output.start_logits, start), (output.end_logits, end)):
            expected += functional.cross_entropy(logits, torch.tensor([place])).item()
    assert found.loss_sum.item() == pytest.approx(expected, rel=1e-4)


def window_of(place: int, *tokens: tuple[int, int]) -> Window:
    """Of tokens by their characters; before them one that begins the row and one of the question."""
    starts, ends = (np.array([-1, -1, *(token[i] for token in tokens)]) for i in (0, 1))
    return Window(place, PaddedRow(np.zeros(len(starts), np.int32)), starts, ends)


def test_the_best_span_is_of_the_context_in_order_and_short() -> None:
    window = window_of(0, (0, 2), (3, 5), (6, 8))
    logits = np.array([[9, 9, 1, 0, 5], [9, 9, 4, 3, -1]], np.float32)
    span = best_span(window, logits)
    assert span is not None
    assert (span.start, span.end, span.score) == (0, 2, 5.0)  # not 6 to 2, though 5 + 4 is more
    long = window_of(0, *((3 * n, 3 * n + 2) for n in range(40)))
    logits = np.zeros((2, 42), np.float32)
    logits[0, 2], logits[1, 41], logits[1, 31] = 5.0, 5.0, 1.0
    span = best_span(long, logits)
    assert span is not None
    assert (span.start, span.end) == (0, 3 * 29 + 2)  # 30 tokens
    assert best_span(window_of(0), np.zeros((2, 2), np.float32)) is None


def test_answers_are_of_the_best_window_and_none_only_where_it_may_be() -> None:
    asked = [question(), question()]
    windows = [window_of(0, (0, 3)), window_of(0, (4, 7)), window_of(1, (8, 11))]
    ends = [np.array([[none, 0, here]] * 2, np.float32) for none, here in ((3, 1), (1, 2), (2, 1))]
    assert best_answers(asked, windows, ends, may_be_unanswerable=False) == ["w01", "w02"]
    # Of the first question the least score of no answer counts: 2 against 4.
    assert best_answers(asked, windows, ends, may_be_unanswerable=True) == ["w01", ""]
    assert best_answers([question()], [], [], may_be_unanswerable=True) == [""]


def spec(**changes: Any) -> FineTuneJobSpec:
    source = {"name": "squad", "type": "QuestionAnswering", "languages": ["en"], "uri": "file:///q.jsonl"}
    task = {"type": "ExtractiveQuestionAnswering", "source": "squad"}
    return FineTuneJobSpec.from_json_object(
        {
            "model": {"from": {"uri": "file:///m"}},
            "data": {"sources": [source]},
            "adapt": {"task": task, "lora": {"rank": 4}, "batch": {"globalTokens": 512, "sequenceLength": 64}},
            "evaluate": {"tasks": [task | {"name": "qa", "metrics": ["TokenF1", "ExactMatch"]}]},
        }
        | changes
    )


def test_only_encoders_can_mark_answers(tmp_path: Path) -> None:
    assert refusals(spec()) == []
    (problem,) = refusals(spec(model={"scratch": {"layers": 1, "hidden": 64, "heads": 2}}))
    assert problem.message.startswith("ExtractiveQuestionAnswering needs an encoder, and a model from scratch is")
    causal, encoder = (read_pretrained(write_body(tmp_path / name, WORDS, name)) for name in ("llama", "bert"))
    assert causal is not None
    assert encoder is not None
    (problem,) = conflicts_with_model(spec(), causal)
    assert (problem.field, problem.reason) == ("spec.adapt.task.type", "NotAnEncoder")
    assert conflicts_with_model(spec(), encoder) == []
