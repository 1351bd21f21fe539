"""Scores, intervals and p-values against sacrebleu's own command line, on the files that the report writes."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_api.evaluate import Significance
from finetune_api.report import Score, TaskReport
from finetune_trainer.data.lines import one_line
from finetune_trainer.evaluation.comparisons import holm, judge, judge_tasks, note_too_few_resamples
from finetune_trainer.evaluation.scores import score_systems, smallest_p_value
from finetune_trainer.metrics import create_metric
from finetune_trainer.reporting.tsv import TSV_COLUMNS, write_tsv
from unit.evaluation.samples import alone, corpus, damage

METRICS = ["chrF++", "BLEU", "TER"]
ARGUMENTS = ["--paired-bs", "-f", "text", "-m", "chrf", "bleu", "ter", "--chrf-word-order", "2", "-w", "4"]


def scored(hypotheses: list[str], baseline: list[str] | None, references: list[str]) -> list[Score]:
    def statistics(texts: list[str]) -> dict[str, Any]:
        return {name: create_metric(name, "es").statistics(texts, alone(references)) for name in METRICS}

    before = None if baseline is None else statistics(baseline)
    scores = score_systems(statistics(hypotheses), before, {}, "es", Significance())[0]
    task = TaskReport(name="t", type="Translation", shots=0, segments=len(references), hypotheses="", scores=scores)
    return judge_tasks([task], Significance().level)[0].scores


@dataclass
class TheirScore:
    """What sacrebleu prints for one metric."""

    baseline: float
    score: float
    half_interval: float
    p_value: float


def sacrebleu_paired(folder: Path, columns: list[list[str]]) -> list[TheirScore]:
    """`sacrebleu --paired-bs` on columns of the TSV, in the order of METRICS."""
    write_tsv(folder / "task.tsv", dict(zip(TSV_COLUMNS, columns, strict=True)))
    lines = [line.split("\t") for line in (folder / "task.tsv").read_text("utf-8").split("\n")[1:-1]]
    for index, name in enumerate(("source", "reference", "hypothesis", "baseline")):
        (folder / name).write_text("".join(f"{line[index]}\n" for line in lines), "utf-8")
    command = [sys.executable, "-m", "sacrebleu", "reference", "-i", "baseline", "hypothesis", *ARGUMENTS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")][1:]
    figures = [re.findall(r"(\d+\.\d+) \([\d.]+ ± (\d+\.\d+)\)", row) for row in rows[:2]]
    p_values = re.findall(r"p = (\d\.\d+)", rows[2])
    return [
        TheirScore(float(before[0]), float(system[0]), float(system[1]), float(p))
        for before, system, p in zip(*figures, p_values, strict=True)
    ]


@pytest.mark.parametrize(
    ("damaged", "baseline_damaged", "differ"), [(0.2, 0.5, True), (0.5, 0.2, True), (0.40, 0.39, False)]
)
def test_figures_are_those_of_sacrebleu_on_the_written_file(
    tmp_path: Path, damaged: float, baseline_damaged: float, differ: bool
) -> None:
    sources, references = corpus()
    hypotheses, baseline = damage(references, damaged, 1), damage(references, baseline_damaged, 2)
    hypotheses[3], references[5] = "", references[5].replace(" ", '  "', 1)
    scores = scored(hypotheses, baseline, references)
    printed = sacrebleu_paired(tmp_path, [sources, references, hypotheses, baseline])
    for score, theirs in zip(scores, printed, strict=True):
        assert score.score == pytest.approx(theirs.score, abs=6e-5)
        assert score.baseline == pytest.approx(theirs.baseline, abs=6e-5)
        assert (score.high - score.low) / 2 == pytest.approx(theirs.half_interval, abs=1e-3)
        assert score.p_value is not None
        assert (score.p_value < 0.05) == (theirs.p_value < 0.05) == differ
        assert (score.verdict != "NoDifference") == differ
        if differ:  # theirs is one-sided (Koehn 2004), so half of ours is compared with it
            assert score.p_value / 2 == pytest.approx(theirs.p_value, abs=2e-3)


def test_the_verdict_knows_which_way_a_metric_improves() -> None:
    _, references = corpus()
    good, bad = damage(references, 0.1, 1), damage(references, 0.6, 2)
    assert [s.verdict for s in scored(good, bad, references)] == ["Better"] * 3
    assert [s.verdict for s in scored(bad, good, references)] == ["Worse"] * 3
    better = {s.metric: s.delta or 0.0 for s in scored(good, bad, references)}
    assert better["BLEU"] > 0 > better["TER"]


def test_equal_outputs_are_not_different() -> None:
    _, references = corpus(40)
    hypotheses = damage(references, 0.3, 1)
    for score in scored(hypotheses, list(hypotheses), references):
        assert (score.p_value, score.delta, score.verdict) == (1.0, 0.0, "NoDifference")


def test_the_difference_has_an_interval_of_its_own() -> None:
    _, references = corpus()
    better, worse = damage(references, 0.3, 1), damage(references, 0.4, 1)
    for score in scored(better, worse, references):
        assert score.delta is not None
        assert score.delta_low is not None
        assert score.delta_high is not None
        assert score.delta_low < score.delta < score.delta_high
        assert (score.p_value or 0) < 0.05
        assert score.delta_low > 0 or score.delta_high < 0
    for score in scored(better, better, references):
        assert (score.delta_low, score.delta_high) == (0.0, 0.0)


def test_the_interval_of_the_difference_is_that_of_the_resampled_differences() -> None:
    _, references = corpus(60)
    systems = damage(references, 0.2, 1), damage(references, 0.5, 2)
    metric = create_metric("TER", "es")
    statistics = [metric.statistics(texts, alone(references)) for texts in systems]
    drawn = np.random.default_rng(Significance().seed).choice(60, size=(1000, 60), replace=True)
    differences = sorted(metric.score(statistics[0][r].sum(0)) - metric.score(statistics[1][r].sum(0)) for r in drawn)
    score = scored(*systems, references)[2]
    assert (score.delta_low, score.delta_high) == pytest.approx((differences[25], differences[974]))


def test_holm_corrects_for_the_family() -> None:
    """The worked example of `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` in R."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def compared(p: float, metric: str = "BLEU") -> Score:
    return Score(metric=metric, score=2, low=1, high=3, baseline=1, delta=1, p_value=p)


def report_task(*scores: Score) -> TaskReport:
    return TaskReport(name="t", type="Translation", shots=0, segments=500, hypotheses="", scores=list(scores))


def test_the_family_is_every_comparison_of_the_report() -> None:
    alone = judge_tasks([report_task(compared(0.02))], 0.05)
    assert (alone[0].scores[0].p_adjusted, alone[0].scores[0].verdict) == (0.02, "Better")
    many = judge_tasks([report_task(compared(0.02), compared(0.6)), report_task(compared(0.3))], 0.05)
    assert [s.p_adjusted for t in many for s in t.scores] == pytest.approx([0.06, 0.6, 0.6])
    assert [s.verdict for t in many for s in t.scores] == ["NoDifference"] * 3
    assert [s.p_value for t in many for s in t.scores] == [0.02, 0.6, 0.3]


def test_too_few_resamples_for_the_family_are_told() -> None:
    task = report_task(*[compared(2 / 1001)] * 8)
    assert note_too_few_resamples([task] * 3, Significance()) == []
    (note,) = note_too_few_resamples([task] * 4, Significance())
    assert "too few for 32 comparisons" in note
    assert "samples to 2,000 or more" in note
    assert note_too_few_resamples([task] * 4, Significance(samples=2000)) == []
    randomised = Significance(method="ApproximateRandomisation", samples=100)
    assert "100 trials are too few for 8 comparisons" in note_too_few_resamples([task], randomised)[0]


def test_the_level_decides() -> None:
    assert judge("BLEU", 1.0, 0.04, 0.05) == "Better"
    assert judge("BLEU", 1.0, 0.04, 0.01) == "NoDifference"
    assert judge("TER", 1.0, 0.04, 0.05) == "Worse"


def test_without_baseline_there_is_no_verdict() -> None:
    _, references = corpus(30)
    for score in scored(damage(references, 0.3, 1), None, references):
        assert (score.baseline, score.delta, score.p_value, score.verdict) == (None, None, None, None)
        assert (score.delta_low, score.delta_high, score.p_adjusted) == (None, None, None)
        assert score.low < score.score < score.high


def test_one_segment_and_empty_output_can_be_scored() -> None:
    scores = {s.metric: s.score for s in scored([""], ["El archivo."], ["El archivo."])}
    assert scores == {"chrF++": 0.0, "BLEU": 0.0, "TER": 100.0}


@pytest.mark.parametrize("method", ["PairedBootstrap", "ApproximateRandomisation"])
def test_a_handful_of_segments_proves_nothing(method: Any) -> None:
    """One segment could be anybody's luck; five agree by chance once in sixteen times."""
    references = [f"El archivo número {word} está aquí." for word in ("uno", "dos", "tres", "cuatro", "cinco", "seis")]
    for count, p_value in ((1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)):
        few, metric = references[:count], create_metric("chrF++", "es")
        own, before = ({"chrF++": metric.statistics(texts, alone(few))} for texts in (few, ["x"] * count))
        (found,), _ = score_systems(own, before, {}, "es", Significance(method=method, samples=1000))
        assert found.p_value == pytest.approx(p_value, abs=1e-4) or (found.p_value or 0) > p_value
        assert found.delta is not None
        assert found.delta > 50
    assert smallest_p_value(40) < 1e-10


def test_the_signature_says_how_to_repeat_the_figure() -> None:
    assert create_metric("BLEU", "es").signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "|tok:zh|" in create_metric("BLEU", "zh-Hant").signature
    assert "|nc:6|nw:2|" in create_metric("chrF++", "es").signature
    assert "|nw:0|" in create_metric("chrF", "es").signature
    with pytest.raises(LookupError, match="Perplexity"):
        create_metric("Perplexity", "es")


def test_text_stands_in_one_field_of_one_line(tmp_path: Path) -> None:
    nasty = [one_line(t) for t in ("a\tb", "a\r\nb\n", "a\x85b\u2028c\x0b", '"quoted"', "")]
    assert nasty == ["a b", "a b", "a b c", '"quoted"', ""]
    write_tsv(tmp_path / "x.tsv", dict.fromkeys(TSV_COLUMNS, nasty))
    lines = (tmp_path / "x.tsv").read_text("utf-8").splitlines()
    assert lines[0] == "source\treference\thypothesis\tbaseline"
    assert [line.split("\t")[2] for line in lines[1:]] == nasty


def test_statistics_add_up() -> None:
    _, references = corpus(50)
    hypotheses = damage(references, 0.4, 3)
    for name in METRICS:
        metric = create_metric(name, "es")
        whole = metric.statistics(hypotheses, alone(references))
        parts = [metric.statistics(hypotheses[i::3], alone(references[i::3])) for i in range(3)]
        assert np.allclose(whole.sum(0), sum(p.sum(0) for p in parts))
