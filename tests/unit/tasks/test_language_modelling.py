"""Bits per byte: sums over tokens, by hand and by transformers' own loss; told beside the verdict."""

from __future__ import annotations

import math

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from finetune_api.evaluate import Gate, GateRequirement
from finetune_api.job import FineTuneJobSpec
from finetune_api.refusals import refusals
from finetune_api.registries import TASKS
from finetune_api.report import Score, TaskReport
from finetune_trainer.distributed import Ranks
from finetune_trainer.evaluation.gate import check_gate
from finetune_trainer.evaluation.outcome import conclude
from finetune_trainer.evaluation.sentence import verdict_sentence
from finetune_trainer.metrics import create_metric
from finetune_trainer.tasks.interface import System
from finetune_trainer.tasks.language_modelling import costs
from tiny import tiny_model

WORDS = {word: i for i, word in enumerate(["<s>", "</s>", "<unk>", *"abcdefghijklmnop"])}


def tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, **marks)  # type: ignore[no-untyped-call]


TEXTS = ["a b c d e", "ñ", "p o n", "a b c d e f g h i j k l m n o p", "b"]


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_costs_are_those_of_the_models_own_loss_over_each_text_alone(batch_size: int | None) -> None:
    model, own = tiny_model(), tokenizer()
    done: list[int] = []
    found = costs(System(model, own, Ranks(), batch_size, done.append), TEXTS)
    assert sum(done) == len(TEXTS)
    for (nats, size), text in zip(found, TEXTS, strict=True):
        ids = torch.tensor([[WORDS["<s>"], *(WORDS.get(word, WORDS["<unk>"]) for word in text.split())]])
        with torch.no_grad():
            mean = model(input_ids=ids, labels=ids).loss.item()
        assert nats == pytest.approx(mean * (ids.shape[1] - 1), rel=1e-4)
        assert size == len(text.encode()) + 1


def test_a_text_longer_than_the_context_costs_the_sum_of_its_windows() -> None:
    model, own = tiny_model(), tokenizer()
    system = System(model, own, Ranks(), None)
    model.config.max_position_embeddings = 5
    (whole,) = costs(system, ["a b c d e f g"])
    parts = costs(system, ["a b c d", "e f g"])
    assert whole[0] == pytest.approx(parts[0][0] + parts[1][0], rel=1e-5)


def test_the_score_is_a_quotient_of_sums() -> None:
    metric = create_metric("BitsPerByte", "en")
    sums = torch.tensor([[math.log(2) * 8, 4.0], [math.log(2) * 1, 5.0]], dtype=torch.float64).sum(0).numpy()
    assert metric.score(sums) == pytest.approx(1.0)
    with pytest.raises(TypeError, match="computed by the model"):
        metric.statistics(["a"], [("a",)])


def score(metric: str, value: float, baseline: float, half: float) -> Score:
    delta = value - baseline
    figures = {"baseline": baseline, "delta": delta, "delta_low": delta - half, "delta_high": delta + half}
    return Score(metric=metric, score=value, low=value, high=value).model_copy(update=figures | {"p_value": 0.001})


def both_tests() -> list[TaskReport]:
    general = TaskReport(
        name="general", type="LanguageModelling", shots=0, segments=500, hypotheses="",
        scores=[score("BitsPerByte", 1.1024, 1.0212, 0.01)],
    )  # fmt: skip
    translation = TaskReport(
        name="en-es", type="Translation", shots=0, segments=500, hypotheses="", scores=[score("chrF++", 50, 40, 1)]
    )
    return [general, translation]


def test_what_was_forgotten_is_told_and_is_no_verdict() -> None:
    concluded = conclude(both_tests(), 0.05)
    assert concluded.tasks[0].scores[0].verdict == "Worse"
    assert concluded.outcome == "Better"
    sentence = verdict_sentence("adapted", concluded, None)
    assert sentence.startswith("The adapted model is better than its baseline: chrF++ 40.0 → 50.0")
    assert sentence.endswith(" On general: BitsPerByte 1.021 → 1.102 (worse by 0.071 to 0.091).")
    assert conclude(both_tests()[:1], 0.05).outcome == "Worse"


@pytest.mark.parametrize(("most", "passed"), [(0.1, True), (0.085, False), (0.0, False)])
def test_the_gate_bounds_what_may_be_forgotten(most: float, passed: bool) -> None:
    need = GateRequirement(metric="BitsPerByte", task="general", at_most_worse_by=most)
    (check, _) = check_gate(Gate(require=[need]), conclude(both_tests(), 0.05).tasks, []).checks
    assert check.passed == passed
    assert check.requirement == f"BitsPerByte of general (0-shot) at most {most:g} worse than the baseline"
    assert check.detail == "1.1024 against 1.0212, p = 0.002"
    better = GateRequirement(metric="chrF++", task="en-es", at_most_worse_by=0)
    assert check_gate(Gate(require=[better]), conclude(both_tests(), 0.05).tasks, []).checks[0].passed


def test_a_language_modelling_task_reads_text_and_has_its_own_metric() -> None:
    spec = FineTuneJobSpec.from_json_object(
        {
            "model": {"from": {"uri": "file:///m"}},
            "data": {
                "sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "file:///ui.tsv"}]
            },
            "adapt": {"task": {"type": "LanguageModelling", "source": "ui"}},
            "evaluate": {"tasks": [{"name": "general", "type": "LanguageModelling", "source": "ui", "shots": [1]}]},
        }
    )
    trained = [name for name, row in TASKS.items() if row.implementation and row.trains]
    assert [(p.field, p.message) for p in refusals(spec)] == [
        (
            "spec.adapt.task.type",
            f"adaptation to LanguageModelling is not supported yet: use {', '.join(trained[:-1])} or {trained[-1]}",
        ),
        ("spec.evaluate.tasks[0].shots[0]", "an example in the prompt of this task is not supported yet: use 0"),
        *(
            (f"spec.evaluate.tasks[0].metrics[{i}]", f"{m} of LanguageModelling is not supported yet: use BitsPerByte")
            for i, m in enumerate(["chrF++", "BLEU", "TER"])
        ),
        (
            "spec.evaluate.tasks[0].source",
            "'ui' is Parallel: a LanguageModelling task needs a source of type Text",
        ),
    ]
