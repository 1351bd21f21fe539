"""The report and its summary: what the last release wrote is still read, and what must be known first goes last."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.decoding import Decoding
from finetune_api.evaluation_summary import MAX_VERDICT, MAX_WARNINGS, EvaluationSummary, summarise
from finetune_api.job import FineTuneJob
from finetune_api.report import EvaluationReport, Finding
from finetune_api.stage_result import MAX_TERMINATION_MESSAGE_BYTES, parse_termination_message
from finetune_api.support import unsupported
from unit.api.test_contract import TASK, big_result, manifest

OLD_SCORE: dict[str, Any] = {
    "metric": "chrF++", "score": 10.6, "low": 10.1, "high": 11.0, "signature": "nrefs:1", "baseline": 6.5, "delta": 4.1,
    "pValue": 0.000999, "verdict": "Better",
}  # fmt: skip
OLD_REPORT: dict[str, Any] = {
    "job": "ui-en-es", "createdAt": "2026-01-02T03:04:05Z", "verdict": "It is better in 5 of 6 measures.",
    "model": {"name": "adapted", "path": "models/adapt", "parameters": 3}, "notes": [],
    "tasks": [{
        "name": "en-es", "type": "Translation", "shots": 0, "segments": 400, "hypotheses": "reports/en-es.0shot.tsv",
        "scores": [OLD_SCORE], "diagnostics": {"repetition": 0.045}, "buckets": {},
    }],
}  # fmt: skip
"""As the last release wrote it."""


def test_a_report_of_the_last_release_is_still_read() -> None:
    report = EvaluationReport.from_json_object(OLD_REPORT)
    assert (report.outcome, report.findings, report.tasks[0].outcome) == (None, [], None)
    assert report.tasks[0].scores[0].p_adjusted is None
    summary = summarise(report, "reports/report.json")
    assert (summary.outcome, summary.warnings, summary.scores[0].delta_low) == (None, [], None)
    score = {"task": "t", "shots": 0} | {k: v for k, v in OLD_SCORE.items() if k not in ("signature", "delta")}
    status = EvaluationSummary.from_json_object({"verdict": "It is better.", "gate": "Passed", "scores": [score]})
    assert status.scores[0].p_value == 0.000999


def new_report(findings: int = 2) -> EvaluationReport:
    score = OLD_SCORE | {"deltaLow": 3.5, "deltaHigh": 4.7, "pAdjusted": 0.004}
    report = EvaluationReport.from_json_object(OLD_REPORT | {"outcome": "NotUsable", "verdict": "v" * 600})
    task = report.tasks[0].model_copy(update={"scores": [report.tasks[0].scores[0].model_validate(score)] * 6})
    found = [
        Finding(task="en-es", shots=0, system="Model", name="empty", value=1.0, unusable=True, text=f"{i} " + "w" * 190)
        for i in range(findings)
    ]
    return report.model_copy(update={"tasks": [task] * 20, "findings": found})


def test_the_summary_holds_outcome_warnings_and_the_difference() -> None:
    summary = summarise(new_report(20), "reports/report.json")
    assert summary.outcome == "NotUsable"
    assert [text[:2] for text in summary.warnings] == [f"{i} " for i in range(MAX_WARNINGS)]
    score = summary.scores[0]
    assert (score.delta_low, score.delta_high, score.p_value, score.p_adjusted) == (3.5, 4.7, 0.000999, 0.004)
    assert len(summary.scores) == 64
    assert len(summary.verdict) == MAX_VERDICT
    assert summary.verdict.endswith("v…")


def test_warnings_and_outcome_fit_into_a_termination_message() -> None:
    evaluation = summarise(new_report(20), "reports/report.json")
    result = big_result().model_copy(update={"error": None, "evaluation": evaluation})
    text = result.to_termination_message()
    assert len(text.encode()) <= MAX_TERMINATION_MESSAGE_BYTES
    parsed = parse_termination_message(text)
    assert parsed is not None
    assert parsed.evaluation is not None
    assert (parsed.evaluation.outcome, len(parsed.evaluation.scores)) == ("NotUsable", 6)
    assert len(parsed.evaluation.warnings) == 3
    worst = big_result().model_copy(update={"evaluation": evaluation}).to_termination_message()
    shortest = parse_termination_message(worst)
    assert shortest is not None
    assert shortest.evaluation is not None
    assert shortest.evaluation.outcome == "NotUsable"


@pytest.mark.parametrize(("task", "count"), [("Translation", 0), ("Classification", 1)])
def test_a_diagnostic_that_the_task_does_not_count_is_refused(task: str, count: int) -> None:
    gate = {"require": [{"diagnostic": "repetition", "task": "t", "maximum": 0.05}]}
    spec = FineTuneJob.from_json_object(manifest(evaluate={"tasks": [TASK | {"type": task}], "gate": gate})).spec
    found = [p for p in unsupported(spec) if p.field == "spec.evaluate.gate.require[0].diagnostic"]
    assert [p.message for p in found] == [
        "repetition of Classification is not supported yet: use a metric"
    ] * count  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "Greedy"),
        ({"method": "Beam"}, "Beam (beams 4, length penalty 1)"),
        ({"method": "Beam", "beams": 8, "lengthPenalty": 0.6}, "Beam (beams 8, length penalty 0.6)"),
        ({"method": "MBR", "topP": 0.9}, "MBR (samples 16, temperature 1, top p 0.9, seed 17)"),
    ],
)
def test_decoding_is_told_with_its_defaults(settings: dict[str, Any], words: str) -> None:
    assert Decoding.model_validate(settings).describe() == words
