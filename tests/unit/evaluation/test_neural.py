"""A program that computes a metric is believed what it can prove; without it, or its model, there is no figure."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from finetune_api.evaluate import Evaluate, Significance
from finetune_api.job import FineTuneJob
from finetune_api.labels import ENV_NEURAL_METRICS
from finetune_api.refusals import refusals
from finetune_api.registries import METRICS
from finetune_api.registry_rows import Metric
from finetune_api.report import ModelDescription
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration, Preempted
from finetune_trainer.evaluation.answers import SystemAnswers
from finetune_trainer.evaluation.assess import SystemOutputs, assess, task_statistics
from finetune_trainer.evaluation.neural import add_neural_scores, neural_programs
from finetune_trainer.evaluation.scorer_process import Program, SegmentScores, score_segments
from unit.api.test_contract import TASK, manifest
from unit.evaluation import stand_in
from unit.evaluation.samples import alone, corpus, damage
from unit.evaluation.test_rivals import make_test_set

ROWS = [{"source": "a", "output": "b" * n, "reference": "cccc"} for n in (4, 2, 1)]


def program(fault: str = "", metric: str = stand_in.NAME, timeout: float = 60.0) -> Program:
    command = [sys.executable, stand_in.__file__, *(["--fault", fault] if fault else [])]
    return Program(command, metric, Path("checkpoint"), timeout)


def test_scores_come_with_the_name_of_what_computed_them() -> None:
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    found = score_segments(program(), ROWS, beat)
    assert found == SegmentScores(stand_in.MODEL, stand_in.VERSION, [1.0, 0.5, 0.25])
    assert found.signature == f"model:{stand_in.MODEL}|version:1"
    assert beats > 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("die", "ended with exit code 1; its last words: the checkpoint is no checkpoint"),
        ("killed", "was killed by signal 9"),
        ("silent", "wrote nothing"),
        ("few", "wrote 2 scores for 3 segments"),
        ("many", "wrote 4 scores for 3 segments"),
        ("nan", 'wrote in line 3 no score from 0 to 1: {"score": NaN}'),
        ("range", 'wrote in line 2 no score from 0 to 1: {"score": 1.5}'),
        ("text", 'wrote in line 2 no score from 0 to 1: {"score": "0.5"}'),
        ("nameless", "must name metric, model and version in line 1"),
        ("no JSON", "wrote no JSON object in line 4: done"),
        ("huge", "wrote in line 3 no score from 0 to 1"),
        ("flood", "writes more than a line a segment"),
    ],
)
def test_who_dies_or_lies_gives_no_figure(fault: str, words: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        score_segments(program(fault), ROWS, lambda: None)
    assert caught.value.reason == "NeuralMetricFailed"
    assert f"{stand_in.NAME} has no figure" in caught.value.message
    assert words in caught.value.message


def test_who_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(BadConfiguration, match=r"has not ended after 0\.3 s"):
        score_segments(program("sleep", timeout=0.3), ROWS, lambda: None)
    assert time.monotonic() - began < 30


def test_a_stop_ends_the_program() -> None:
    def stop() -> None:
        raise Preempted(None)

    with pytest.raises(Preempted):
        score_segments(program("sleep"), ROWS, stop)


def test_what_computes_something_else_is_never_called_comet() -> None:
    with pytest.raises(BadConfiguration, match=f"computes {stand_in.NAME}, not COMET"):
        score_segments(program(metric="COMET"), ROWS, lambda: None)


def test_a_program_that_is_not_there_is_said_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Evaluate.model_validate(
        {"tasks": [TASK | {"metrics": ["chrF++", "COMET"]}], "neural": {"checkpoint": {"uri": str(tmp_path / "x")}}}
    )
    monkeypatch.delenv(ENV_NEURAL_METRICS, raising=False)
    with pytest.raises(BadConfiguration, match=f"{ENV_NEURAL_METRICS} is not set"):
        neural_programs(settings)
    monkeypatch.setenv(ENV_NEURAL_METRICS, "/nowhere/score --fast")
    with pytest.raises(BadConfiguration, match="names /nowhere/score, which is no program here"):
        neural_programs(settings)
    monkeypatch.setenv(ENV_NEURAL_METRICS, shlex.join(program().command))
    with pytest.raises(BadConfiguration, match=r"neural\.checkpoint\.uri: no such file or folder"):
        neural_programs(settings)
    (tmp_path / "x").touch()
    (found,) = neural_programs(settings)
    assert (found.metric, found.command, found.timeout_seconds) == ("COMET", program().command, 3600)
    lexical = settings.tasks[0].model_copy(update={"metrics": ["BLEU"]})
    assert neural_programs(settings.model_copy(update={"tasks": [lexical]})) == []


def problems(metrics: Sequence[str], neural: dict[str, Any] | None) -> list[str]:
    evaluate = {"tasks": [TASK | {"metrics": metrics}]} | ({} if neural is None else {"neural": neural})
    return [str(problem) for problem in refusals(FineTuneJob.from_json_object(manifest(evaluate=evaluate)).spec)]


def test_lint_refuses_the_metric_without_its_model_and_a_model_without_its_metric() -> None:
    checkpoint = {"checkpoint": {"uri": "pvc://models/comet"}}
    assert problems(["chrF++", "COMET"], checkpoint) == []
    (missing,) = problems(["chrF++", "COMET"], None)
    assert missing.startswith("spec.evaluate.tasks[0].metrics[1]: COMET is computed by a model: name it in")
    (idle,) = problems(["chrF++"], checkpoint)
    assert idle == "spec.evaluate.neural: no task has a neural metric: add COMET to its metrics, or remove this"
    (elsewhere,) = problems(["COMET"], {"checkpoint": {"uri": "s3://models/comet"}})
    assert elsewhere.startswith("spec.evaluate.neural.checkpoint.uri: s3:// is not supported yet")


def test_the_figure_stands_in_the_report_with_interval_p_value_and_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Metric(implementation=".neural:SegmentMean", tasks=("Translation",), neural=True, digits=4)
    monkeypatch.setitem(METRICS, stand_in.NAME, row)
    sources, references = corpus(60)
    task = make_test_set(1).task.model_copy(update={"metrics": ["chrF++", stand_in.NAME], "shots": [0]})
    test_set = make_test_set(60, sources=sources, references=alone(references), task=task)
    systems = []
    for name, share in (("adapted", 0.0), ("pretrained", 0.9)):
        texts = damage(references, share, seed=1)
        outputs = SystemOutputs(texts, task_statistics(test_set, texts, Ranks()))
        systems.append(SystemAnswers(ModelDescription(name=name, path=""), {(task.name, 0): outputs}))
    add_neural_scores([program()], [test_set], systems, lambda: None)
    own, before = (system.outputs[(task.name, 0)] for system in systems)
    report = assess(test_set, 0, own, before, Significance(), "t.tsv")
    lexical, neural = report.scores
    assert neural.metric == stand_in.NAME
    assert neural.signature == f"model:{stand_in.MODEL}|version:1"
    assert lexical.signature.startswith("nrefs:1")
    assert (neural.score, neural.low, neural.high) == (1.0, 1.0, 1.0)
    assert neural.baseline is not None
    assert neural.baseline == pytest.approx(before.statistics[stand_in.NAME][:, 0].mean())
    assert neural.baseline < 0.95
    assert neural.p_value is not None
    assert neural.p_value < 0.01
