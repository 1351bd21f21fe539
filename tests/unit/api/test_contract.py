"""The contract itself: parsing, defaults, bounded messages, refusals."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from finetune_api.evaluation_summary import EvaluationSummary, ScoreSummary
from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.problems import problems_of
from finetune_api.stage_result import (
    MAX_TERMINATION_MESSAGE_BYTES,
    StageError,
    StageResult,
    parse_termination_message,
)
from finetune_api.support import unsupported

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRETRAIN: dict[str, Any] = {
    "budget": {"tokens": 1000},
    "objectives": [{"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]}],
}
ADAPT: dict[str, Any] = {"task": {"source": "ui", "direction": "en-es"}}
GENERAL: dict[str, Any] = {"name": "g", "type": "LanguageModelling", "source": "ui", "metrics": ["BitsPerByte"]}
TASK: dict[str, Any] = {"name": "t", "source": "ui", "direction": "en-es"}


def manifest(**spec: Any) -> dict[str, Any]:
    minimal: dict[str, Any] = {
        "model": {"scratch": {"layers": 2, "hidden": 64, "heads": 4, "kvHeads": 2}},
        "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "file:///ui.tsv"}]},
        "pretrain": PRETRAIN,
    }
    return {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "ui"},
        "spec": minimal | spec,
    }


def test_a_job_survives_the_round_trip_through_json() -> None:
    job = FineTuneJob.from_json_object(manifest())
    assert FineTuneJob.from_json_object(job.to_json_object()) == job


def test_defaults_are_those_of_the_papers() -> None:
    """But for LoRA's targets, for the paper's names are Mistral's, and for its scale, which the paper had not known."""
    job = FineTuneJob.from_json_object(
        manifest(adapt={"task": {"source": "ui", "direction": "en-es"}})
    ).to_json_object()
    adapt = job["spec"]["adapt"]
    assert adapt["lora"] == {
        "rank": 64, "alpha": 16, "rsLoRA": "Auto", "dropout": 0.1, "targets": ["all-linear"], "learningRateRatio": 1.0,
        "initialisation": "Default",
    }  # fmt: skip
    assert adapt["optimizer"]["learningRate"] == pytest.approx(2.0e-3)
    assert adapt["optimizer"]["schedule"] == "Constant"
    assert adapt["batch"]["globalTokens"] == 32 * 512


def test_a_default_belongs_to_its_leaf() -> None:
    """What is given of a block changes nothing of what is not."""
    changed = manifest(adapt=ADAPT | {"batch": {"sequenceLength": 256}, "optimizer": {"schedule": "Cosine"}})
    adapt, default = (FineTuneJob.from_json_object(job).spec.adapt for job in (changed, manifest(adapt=ADAPT)))
    assert adapt is not None
    assert default is not None
    assert adapt.batch == default.batch.model_copy(update={"sequence_length": 256})
    assert adapt.optimizer == default.optimizer.model_copy(update={"schedule": "Cosine"})


def blocks(model: type[BaseModel], path: str = "spec") -> Iterator[tuple[str, type[BaseModel], BaseModel]]:
    """(path, type, default) of every block that has a default."""
    for name, field in model.model_fields.items():
        inner = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)]
        for block in (t for t in inner if issubclass(t, BaseModel)):
            if isinstance(field.default, BaseModel):
                yield f"{path}.{name}", block, field.default
            yield from blocks(block, f"{path}.{name}")


def test_the_default_of_a_block_is_that_of_its_leaves() -> None:
    found = list(blocks(FineTuneJobSpec))
    assert len(found) > 10
    for path, block, default in found:
        assert default == block(), path


def test_stages_run_in_their_order_and_prepare_always() -> None:
    job = FineTuneJob.from_json_object(
        manifest(
            evaluate={"tasks": [{"name": "t", "source": "ui", "direction": "en-es"}]},
            adapt={"task": {"source": "ui", "direction": "en-es"}},
        )
    )
    assert job.spec.stages() == ("prepare", "pretrain", "adapt", "evaluate")


def test_all_problems_come_at_once_with_their_field_paths() -> None:
    broken = manifest(parallelism={"nodes": "two", "colour": "red"}, checkpoint={"everySteps": 0})
    with pytest.raises(ValidationError) as caught:
        FineTuneJob.from_json_object(broken)
    problems = {p.field: p.message for p in problems_of(caught.value)}
    assert problems["spec.parallelism.colour"] == "unknown field"
    assert "'two'" in problems["spec.parallelism.nodes"]
    assert problems["spec.checkpoint.everySteps"] == "must be at least 1, not 0"


def test_what_is_not_there_yet_is_refused_by_field() -> None:
    spec = FineTuneJob.from_json_object(
        manifest(
            export={},
            fuse={"sources": [{"uri": "hf://a/b"}]},
            adapt={"hints": {"style": "TIM"}, "task": {"source": "ui", "direction": "en-es"}},
            evaluate={
                "tasks": [{"name": "t", "source": "ui", "direction": "en-es", "metrics": ["ExactMatch"], "shots": [6]}]
            },
        )
    ).spec
    problems = unsupported(spec)
    assert {p.field for p in problems} == {
        "spec.fuse", "spec.export", "spec.adapt.hints", "spec.evaluate.tasks[0].metrics[0]",
        "spec.evaluate.tasks[0].shots[0]",
    }  # fmt: skip
    assert all(p.reason == "NotSupported" for p in problems)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        (
            {"adapt": ADAPT | {"hints": {"style": "TIM"}}},
            "adapt.hints",
            "hints is not supported yet: use prompts.template: TIM or ParroT",
        ),
        (
            {"pretrain": PRETRAIN | {"curriculum": {"strategy": "EXP3"}}},
            "pretrain.curriculum.strategy",
            "EXP3 is not supported yet: use Fixed or FAIR",
        ),
        (
            {"evaluate": {"tasks": [TASK | {"metrics": ["BLEU", "F1"]}]}},
            "evaluate.tasks[0].metrics[1]",
            "F1 of Translation is not supported yet: use BLEU, chrF++, chrF or TER",
        ),
        (
            {"evaluate": {"tasks": [TASK], "baseline": {"model": {"uri": "s3://a/b"}}}},
            "evaluate.baseline.model.uri",
            "s3:// is not supported yet: copy the model to a volume and use pvc:// or file://",
        ),
        (
            {"evaluate": {"tasks": [TASK], "baseline": {"model": {"uri": "gs://a/b"}}}},
            "evaluate.baseline.model.uri",
            "gs:// is not supported yet: copy the model to a volume and use pvc:// or file://",
        ),
        (
            {"evaluate": {"tasks": [GENERAL | {"decoding": {"method": "Beam"}}]}},
            "evaluate.tasks[0].decoding",
            "decoding in LanguageModelling, which measures texts, is not supported yet: remove it",
        ),
    ],
)
def test_names_that_no_version_has_are_refused_with_those_there_are(
    changes: dict[str, Any], field: str, message: str
) -> None:
    problems = unsupported(FineTuneJob.from_json_object(manifest(**changes)).spec)
    assert [(p.field, p.message) for p in problems] == [(f"spec.{field}", message)]


def test_a_supported_job_has_no_such_problem() -> None:
    assert unsupported(FineTuneJob.from_json_object(manifest()).spec) == []


def big_result() -> StageResult:
    score = ScoreSummary(task="t" * 63, shots=1, metric="chrF++", score=1.25, low=1.0, high=2.0)
    return StageResult(
        stage="evaluate",
        outcome="Failed",
        exit_code=65,
        artifact="reports/report",
        summary={f"figure.{i:03d}": 1 / (i + 1) for i in range(48)},
        error=StageError(reason="MalformedRow", message="é" * 1500, remedy="è" * 800),
        evaluation=EvaluationSummary(verdict="v" * 512, scores=[score] * 64, gate="Failed"),
        started_at=NOW,
        completed_at=NOW,
    )


def test_termination_message_never_exceeds_kubernetes_limit_and_keeps_error_and_gate() -> None:
    text = big_result().to_termination_message()
    assert len(text.encode()) <= MAX_TERMINATION_MESSAGE_BYTES
    parsed = parse_termination_message(text)
    assert parsed is not None
    assert parsed.error is not None
    assert parsed.error.reason == "MalformedRow"
    assert parsed.artifact == "reports/report"
    assert parsed.evaluation is not None
    assert parsed.evaluation.gate == "Failed"


def test_scores_are_cut_before_the_verdict_is() -> None:
    result = big_result().model_copy(update={"error": None, "summary": {}})
    parsed = parse_termination_message(result.to_termination_message())
    assert parsed is not None
    assert parsed.evaluation is not None
    assert len(parsed.evaluation.scores) == 6
    assert parsed.evaluation.verdict == "v" * 512


def test_figures_in_a_termination_message_are_rounded_and_what_is_no_number_is_left_out() -> None:
    summary = {"loss": 1.76473976971, "rowsRead": 123_456_789_012.0, "validationLoss": float("nan")}
    changes = {"error": None, "evaluation": None, "summary": summary}
    text = big_result().model_copy(update=changes).to_termination_message()
    parsed = parse_termination_message(text)
    assert parsed is not None
    assert parsed.summary == {"loss": 1.7647398, "rowsRead": 123_456_789_012.0}


INFINITE = big_result().model_copy(update={"error": None, "evaluation": None}).model_dump_json(by_alias=True)


@pytest.mark.parametrize(
    "text",
    ["", "Killed", '{"stage": "adapt"', '{"stage": "cook"}', "\x00" * 10]
    + [INFINITE.replace('"figure.000":1.0', f'"figure.000":{number}') for number in ("NaN", "Infinity", "1e999")],
)
def test_a_foreign_termination_message_is_none(text: str) -> None:
    assert text != INFINITE
    assert parse_termination_message(text) is None
