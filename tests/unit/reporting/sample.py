"""A report with everything in it, and with text that would like to be markup."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from finetune_api.progress import ArmHistory, HistoryRow
from finetune_api.report import (
    Bucket,
    EvaluationReport,
    Finding,
    GateCheck,
    GateResult,
    ModelDescription,
    RivalReport,
    RivalScore,
    Score,
    SegmentExample,
    TaskReport,
)

HOSTILE = "<script>alert(\"x\")</script> <img src=x onerror=alert(1)> & 'quoted' {{ 7*7 }} </style>"
MODEL = ModelDescription(name="adapted", path="models/adapt", parameters=3_012_480)
RATES = {"offTarget": 0.01, "copies": 0.0, "empty": 0.02, "repetition": 0.62, "lengthRatio": 0.98}


FINDINGS = [
    Finding(
        task="en-es", shots=0, system="Model", name="lengthRatio", value=0.05, unusable=True,
        text="en-es zero-shot: length ratio 0.05, baseline 0.97 (characters of output / reference; 1 is right)",
    ),
    Finding(
        task="en-es", system="TestSet", name="segments", value=50, text="en-es: only 50 segments; intervals are wide"
    ),
]  # fmt: skip


def example(text: str) -> SegmentExample:
    return SegmentExample(
        source=text, reference=f"the {text}", hypothesis=text, baseline="", score=40.0, baseline_score=10.0
    )


def score(metric: str, compared: bool) -> Score:
    plain = Score(metric=metric, score=31.25, low=30.1, high=32.3, signature="nrefs:1|case:mixed|version:2.6.0")
    if not compared:
        return plain
    changes = {
        "baseline": 18.4, "delta": 12.85, "delta_low": 11.5, "delta_high": 14.21, "p_value": 0.0001999,
        "p_adjusted": 0.0009995, "verdict": "Better",
    }  # fmt: skip
    return plain.model_copy(update=changes)


def rival(name: str) -> RivalReport:
    scores = [
        RivalScore(
            metric=metric, score=29.0, low=28.0, high=30.0, delta=2.25, delta_low=1.5, delta_high=3.0, p_value=0.0004,
            p_adjusted=0.002, verdict="Better",
        )
        for metric in ("chrF++", "BLEU", "TER")
    ]  # fmt: skip
    return RivalReport(name=name, scores=scores, diagnostics=RATES)


def task(shots: int, compared: bool) -> TaskReport:
    return TaskReport(
        name="en-es", type="Translation", direction="en-es", shots=shots, segments=500,
        hypotheses=f"reports/en-es.{shots}shot.tsv", scores=[score(m, compared) for m in ("chrF++", "BLEU", "TER")],
        diagnostics=RATES, baseline_diagnostics=RATES if compared else None,
        buckets={"length": [Bucket(name="3–5 words", segments=7, score=30.0, baseline=20.0 if compared else None)]},
        most_improved=[example(HOSTILE)] if compared else [], most_worsened=[example("plain")] if compared else [],
        worst=[example("worst")], rivals=[rival("paste"), rival("agency")] if compared else [],
    )  # fmt: skip


def report(compared: bool = True, gate: bool = True) -> EvaluationReport:
    checks = [GateCheck(requirement="BLEU of en-es (0-shot) at least 99", passed=False, detail=f"5 {HOSTILE}")]
    return EvaluationReport(
        job="ui-en-es", created_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), verdict="The adapted model is better.",
        outcome="Better", findings=FINDINGS, notes=[f"A note {HOSTILE}"], model=MODEL,
        baseline=MODEL.model_copy(update={"name": "pretrained"}) if compared else None,
        rivals=[
            ModelDescription(name="paste", path="", type="FuzzyMatch"),
            ModelDescription(name="agency", path=f"file:///{HOSTILE}", type="Hypotheses"),
        ] if compared else [],
        tasks=[task(0, compared), task(1, compared)], gate=GateResult(passed=False, checks=checks) if gate else None,
        cost={"pretrain.seconds": 161.0, "pretrain.tokensPerSecond": 9800.0, "evaluate.seconds": 33.0},
        data={
            "sources": [{
                "name": "ui", "license": HOSTILE, "sha256": {"/corpora/ui.tsv": "ab" * 32}, "rowsRead": 9377,
                "dropped": {"duplicate": 612}, "samples": {"tooLong": [f"ui.tsv:3: {HOSTILE}"]},
            }],
            "message": "8,012 pairs kept",
        },
        spec={"data": {"split": {"seed": 17}}, "note": HOSTILE}, versions={"torch": "2.15.0"},
        lineage={"prepare": {"digest": "cd" * 32, "note": HOSTILE}},
    )  # fmt: skip


def history(steps: int = 900) -> list[HistoryRow]:
    rows = []
    for step in range(1, steps + 1, 3):
        share = 0.5 + 0.2 * math.sin(step / 90)
        loss = 4 + 3 * math.exp(-step / 150)
        arms = {
            f"lm {HOSTILE}": ArmHistory(probability=share, loss=loss + 0.3, tokens=step),
            "mt": ArmHistory(probability=1 - share, loss=loss, tokens=step),
        }
        validation = {"all": loss, "a": loss + 0.1, "b": loss - 0.1} if step % 30 == 1 else {}
        rows.append(
            HistoryRow(
                step=step,
                tokens=step * 100,
                seconds=step * 0.1,
                loss=loss,
                tokens_per_second=9800.0,
                arms=arms,
                validation_loss=validation,
            )
        )
    return rows
