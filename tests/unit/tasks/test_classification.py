"""Classification: what lint refuses, how texts and words are encoded, what loss is of, what is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from finetune_api.job import FineTuneJobSpec
from finetune_api.pretrained import conflicts_with_model, positions_of, read_pretrained
from finetune_api.transformer import shape_of_model
from finetune_trainer.data.labelled import LabelledText
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import Head, load_model
from finetune_trainer.objectives import find_objective
from finetune_trainer.objectives.padded import IGNORED, HeadExample, PaddedRow
from finetune_trainer.tasks.classification.encoding import encode_texts, encode_words
from finetune_trainer.tasks.interface import System
from tiny_encoder import word_tokenizer, write_body
from unit.tasks.specs import found, spec_of

SOURCE = {"name": "topics", "type": "Labelled", "languages": ["en"], "uri": "file:///t.jsonl"}
ADAPT: dict[str, Any] = {"method": "Full", "task": {"type": "Classification", "source": "topics"}}
TEST = {
    "name": "t",
    "type": "Classification",
    "source": "topics",
    "metrics": ["F1", "Accuracy", "MicroF1", "WeightedF1"],
}
WORDS = [f"w{number}" for number in range(30)]


def spec(adapt: dict[str, Any] | None = None, test: dict[str, Any] | None = None, **changes: Any) -> FineTuneJobSpec:
    return spec_of(SOURCE, ADAPT | (adapt or {}), TEST | (test or {}), **changes)


def test_a_job_of_labels_has_no_problem() -> None:
    assert found(spec()) == []
    assert found(spec({"method": "HeadOnly"})) == []


def test_what_labels_have_no_use_for_is_refused_by_field() -> None:
    adapt = {"task": {"type": "Classification", "source": "ui"}, "prompts": {"template": "Chat"}}
    test = {"shots": [1], "metrics": ["BLEU", "EntityF1"], "maxNewTokens": 5, "robustness": ["Case"]}
    fitting = "use F1, MicroF1, WeightedF1 or Accuracy"
    assert found(spec(adapt, test)) == [
        ("spec.evaluate.tasks[0].shots[0]", "an example in the prompt of this task is not supported yet: use 0"),
        ("spec.evaluate.tasks[0].robustness", "noise in Classification is not supported yet: remove it"),
        ("spec.evaluate.tasks[0].metrics[0]", f"BLEU of Classification is not supported yet: {fitting}"),
        ("spec.evaluate.tasks[0].metrics[1]", f"EntityF1 of Classification is not supported yet: {fitting}"),
        ("spec.adapt.task.source", "'ui' is Parallel: a Classification task needs a source of type Labelled"),
        ("spec.evaluate.tasks[0].maxNewTokens", "Classification writes nothing: remove it"),
        ("spec.adapt.prompts", "a Classification task has no prompts: remove it"),
    ]


def test_a_model_has_one_head() -> None:
    translation = {"name": "mt", "type": "Translation", "source": "ui", "direction": "en-es"}
    assert found(spec(evaluate={"tasks": [TEST, translation]})) == [
        ("spec.evaluate.tasks[1].type",
         "a model that is adapted to Classification has no head for Translation: test it in a job of its own"),
    ]  # fmt: skip


def test_labels_belong_to_labelled_sources() -> None:
    wrong = {"name": "x", "type": "Text", "languages": ["en"], "uri": "x.jsonl", "columns": {"label": "a"}}
    pretrain = {"objectives": [{"name": "lm", "type": "CausalLM", "source": "topics"}], "budget": {"tokens": 9}}
    assert found(spec(data={"sources": [SOURCE, wrong]}, pretrain=pretrain)) == [
        ("spec.data.sources[1].columns.label", "a Text source has no labels: give type: Labelled, or remove it"),
        ("spec.pretrain.objectives[0].source",
         "'topics' is Labelled: pre-training needs a source of type Text or Parallel"),
    ]  # fmt: skip


def test_an_encoder_cannot_write(tmp_path: Path) -> None:
    model = read_pretrained(write_body(tmp_path, WORDS, "bert"))
    assert model is not None
    assert shape_of_model(tmp_path) is None, "its layers are not those whose sizes are estimated"
    task = {"type": "Translation", "source": "ui", "direction": "en-es"}
    translation = spec({"task": task}, {"name": "mt", "direction": "en-es"} | task | {"metrics": ["chrF++"]})
    (problem,) = (p for p in conflicts_with_model(translation, model) if p.reason == "NotCausal")
    assert problem.field == "spec.adapt.task.type"
    assert "the model is an encoder (bert), which cannot write: give a causal language model, or a task of" in str(
        problem
    )
    assert [
        p.reason for p in conflicts_with_model(spec({"batch": {"globalTokens": 1024, "sequenceLength": 32}}), model)
    ] == []


def test_positions_of_roberta_begin_behind_its_padding() -> None:
    assert positions_of({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}) == 512
    assert positions_of({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}) == 512
    assert positions_of({"model_type": "mamba"}) is None


def test_encoders_have_their_own_tokens_and_causal_models_a_beginning() -> None:
    tokenizer = word_tokenizer(WORDS)
    texts = [LabelledText("w0 w1 unknown", ("a",), "w2"), LabelledText("w3", ("a",), "w4 w5 w6 w7 w8")]
    encoded = encode_texts(tokenizer, texts, 7)
    assert [row.tokens.tolist() for row in encoded.rows] == [[1, 4, 5, 3, 2, 6, 2], [1, 7, 2, 8, 9, 10, 2]]
    assert encoded.rows[0].types is not None
    assert encoded.rows[0].types.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert encoded.shortened == 1
    causal = encode_texts(word_tokenizer(WORDS, encoder=False), texts, 4)
    assert [row.tokens.tolist() for row in causal.rows] == [[1, 4, 5, 3], [1, 7, 8, 9]]
    assert causal.shortened == 2
    assert encode_texts(tokenizer, [], 7).rows == []


def test_the_first_token_of_each_word_is_known() -> None:
    encoded = encode_words(word_tokenizer(WORDS), [["w0", "w1"], ["w2", "w3", "w4", "w5"]], 5)
    assert [row.row.tokens.tolist() for row in encoded.rows] == [[1, 4, 5, 2], [1, 6, 7, 8, 2]]
    assert [row.firsts for row in encoded.rows] == [[1, 2], [1, 2, 3]]
    assert encoded.shortened == 1


def body(folder: Path, head: Head) -> Any:
    return load_model(write_body(folder, WORDS), "base", head).eval()  # type: ignore[no-untyped-call]


def row(*tokens: int) -> PaddedRow:
    return PaddedRow(np.array(tokens, np.int32))


def test_loss_of_labels_is_the_models_own_and_empty_rows_have_none(tmp_path: Path) -> None:
    objective = find_objective("SequenceClassification")
    model = body(tmp_path, Head("AutoModelForSequenceClassification", ("a", "b", "c"), pad_id=0, may_be_new=True))
    examples = [HeadExample(row(1, 5, 6, 7, 2), np.array(2)), HeadExample(row(1, 5, 2), np.array(0))]
    batch = objective.collate([[examples[0]], [examples[1]], []], 99, 0)
    assert batch.inputs["input_ids"].tolist() == [[1, 5, 6, 7, 2], [1, 5, 2, 0, 0], [0, 0, 0, 0, 0]]
    loss = objective.loss(model, **batch.inputs)
    alone = [
        model(input_ids=torch.tensor([e.tokens.tolist()]), labels=torch.tensor([int(e.target)])).loss for e in examples
    ]
    assert float(loss.loss_units) == 2
    assert loss.loss_sum.item() == pytest.approx(sum(each.item() for each in alone), rel=1e-5), (
        "padding changes nothing"
    )
    nothing = objective.loss(model, **objective.collate([[], []], 99, 0).inputs)
    assert (nothing.loss_sum.item(), int(nothing.loss_units)) == (0.0, 0)


def test_loss_of_sets_is_of_each_label(tmp_path: Path) -> None:
    objective = find_objective("SequenceClassification")
    model = body(tmp_path, Head("AutoModelForSequenceClassification", ("a", "b"), has_label_sets=True, pad_id=0,
                                may_be_new=True))  # fmt: skip
    batch = objective.collate([[HeadExample(row(1, 5, 2), np.array([1, 0]))], []], 99, 0)
    loss = objective.loss(model, **batch.inputs)
    logits = model(input_ids=torch.tensor([[1, 5, 2]])).logits
    expected = functional.binary_cross_entropy_with_logits(logits, torch.tensor([[1.0, 0.0]]), reduction="sum")
    assert int(loss.loss_units) == 2
    assert loss.loss_sum.item() == pytest.approx(expected.item(), rel=1e-5)


def test_loss_of_tags_is_of_words(tmp_path: Path) -> None:
    objective = find_objective("TokenClassification")
    model = body(tmp_path, Head("AutoModelForTokenClassification", ("O", "B-A", "I-A"), pad_id=0, may_be_new=True))
    target = np.array([IGNORED, 1, IGNORED, 0, IGNORED])
    batch = objective.collate([[HeadExample(row(1, 5, 6, 7, 2), target)], []], 99, 0)
    loss = objective.loss(model, **batch.inputs)
    own = model(input_ids=torch.tensor([[1, 5, 6, 7, 2]]), labels=torch.from_numpy(target)[None]).loss
    assert int(loss.loss_units) == 2
    assert loss.loss_sum.item() == pytest.approx(2 * own.item(), rel=1e-5)


def test_heads_are_no_arms_of_pretraining() -> None:
    with pytest.raises(
        BadConfiguration, match="TokenClassification trains the head of a task, and pre-training has no"
    ):
        find_objective("TokenClassification").arms(None, None, "pretrain.objectives[0]")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="objectives"):
        spec(
            pretrain={
                "objectives": [{"name": "x", "type": "TokenClassification", "source": "ui"}],
                "budget": {"tokens": 9},
            }
        )


def test_rows_of_all_lengths_are_answered_in_their_order(tmp_path: Path) -> None:
    model = body(tmp_path, Head("AutoModelForSequenceClassification", ("a", "b", "c"), pad_id=0, may_be_new=True))
    done: list[int] = []
    system = System(model, AutoTokenizer.from_pretrained(tmp_path), Ranks(), 3, done.append)
    rows = [row(1, *range(4, 4 + length), 2) for length in (3, 9, 1, 5, 5, 2, 7)]
    outputs = system.run_head(rows, lambda output: output.logits)
    assert (sum(done), max(done)) == (7, 3)
    for one, logits in zip(rows, outputs, strict=True):
        with torch.no_grad():
            alone = model(input_ids=torch.tensor([one.tokens.tolist()])).logits[0]
        assert logits == pytest.approx(alone.numpy(), abs=1e-5)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "bert"
