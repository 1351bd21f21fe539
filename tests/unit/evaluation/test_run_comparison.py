"""Runs beside each other: paired where their segments are the same, alone and with the reason where they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.comparison import ComparedRow, Comparison
from finetune_api.evaluate import Significance
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.run_comparison import compare_runs, pareto_front
from finetune_trainer.evaluation.saved_runs import SavedRun, read_run
from finetune_trainer.evaluation.scores import score_systems
from finetune_trainer.metrics import create_metric
from unit.evaluation.samples import alone, corpus, damage
from unit.evaluation.saved_runs import keep_report

SOURCES, REFERENCES = corpus(60)
ASKED = {"source": SOURCES, "reference": REFERENCES}
WEAK, GOOD = damage(REFERENCES, 0.6, 1), damage(REFERENCES, 0.3, 2)
COST = {"pretrain": (1000.0, 60.0), "adapt": (200.0, 20.0)}


def kept(folder: Path, name: str, outputs: list[str], **settings: Any) -> SavedRun:
    run = keep_report(folder, name, ASKED | {"hypothesis": outputs}, **settings)
    return read_run(name, run / "reports/report.json", folder)


def row(comparison: Comparison, run: str, test: int = 0) -> ComparedRow:
    return next(row for row in comparison.tests[test].rows if row.run == run)


def test_differences_are_those_of_a_report_that_had_both(tmp_path: Path) -> None:
    found = compare_runs([kept(tmp_path / "a", "a", WEAK), kept(tmp_path / "b", "b", GOOD)])
    good, weak = (
        {name: create_metric(name, "es").statistics(outputs, alone(REFERENCES)) for name in ("chrF++", "BLEU")}
        for outputs in (GOOD, WEAK)
    )
    expected = score_systems(good, weak, {}, "es", Significance())[0]
    compared = row(found, "b").scores
    assert [(s.metric, s.score, s.delta, s.delta_low, s.delta_high, s.p_value) for s in compared] == [
        (s.metric, s.score, s.delta, s.delta_low, s.delta_high, s.p_value) for s in expected
    ]
    # Holm: two metrics of one pair are a family of two.
    assert [s.p_adjusted for s in compared] == [pytest.approx(2 * s.p_value) for s in expected if s.p_value]
    assert [s.verdict for s in compared] == ["Better", "Better"]
    assert all(s.delta is None and s.verdict is None for s in row(found, "a").scores)
    assert found.tests[0].digest is not None


def test_the_first_run_is_the_measure(tmp_path: Path) -> None:
    runs = [kept(tmp_path / "b", "b", GOOD), kept(tmp_path / "a", "a", WEAK), kept(tmp_path / "c", "c", GOOD)]
    found = compare_runs(runs)
    assert [s.verdict for s in row(found, "a").scores] == ["Worse", "Worse"]
    assert [(s.delta, s.verdict) for s in row(found, "c").scores] == [(0.0, "NoDifference")] * 2


def test_other_segments_are_not_compared(tmp_path: Path) -> None:
    first = kept(tmp_path / "a", "a", WEAK)
    other = kept(tmp_path / "b", "b", GOOD, cost=COST)
    fewer = {key: values[:-1] for key, values in (ASKED | {"hypothesis": GOOD}).items()}
    keep_report(tmp_path / "c", "c", fewer)
    third = read_run("c", tmp_path / "c/reports/report.json", tmp_path / "c")
    found = compare_runs([first, third, other])
    assert row(found, "c").not_comparable == "other segments"
    assert row(found, "c").scores[0].score > 0
    assert row(found, "c").scores[0].delta is None
    assert row(found, "b").not_comparable is None
    # A reference that was mended is another test, however alike.
    mended = ASKED | {"reference": [*REFERENCES[:-1], "otra cosa"], "hypothesis": GOOD}
    keep_report(tmp_path / "d", "d", mended)
    fourth = read_run("d", tmp_path / "d/reports/report.json", tmp_path / "d")
    assert row(compare_runs([first, fourth]), "d").not_comparable == "other segments"


def test_outputs_that_are_not_those_of_the_report_are_not_compared(tmp_path: Path) -> None:
    first, other = kept(tmp_path / "a", "a", WEAK), kept(tmp_path / "b", "b", GOOD)
    tsv = tmp_path / "b/reports/en-es.0shot.tsv"
    tsv.write_text(tsv.read_text("utf-8").replace(f"\t{GOOD[0]}\t", f"\t{REFERENCES[0]}!\t"), "utf-8")
    found = row(compare_runs([first, other]), "b")
    assert found.not_comparable == "its scores cannot be computed from the segments that are kept"
    tsv.unlink()
    found = row(compare_runs([first, other]), "b")
    assert found.not_comparable == "the segments of b are gone: reports/en-es.0shot.tsv"


def test_likelihoods_stand_alone(tmp_path: Path) -> None:
    """No text tells them."""
    runs = [kept(tmp_path / name, name, WEAK) for name in "ab"]
    for run in runs:
        path = run.workspace / "reports/report.json"
        report = json.loads(path.read_text("utf-8"))
        report["tasks"][0] |= {"type": "LanguageModelling"}
        report["tasks"][0]["scores"] = [{"metric": "BitsPerByte", "score": 1.5, "low": 1.0, "high": 2.0}]
        path.write_text(json.dumps(report), "utf-8")
    found = compare_runs([read_run(r.name, r.workspace / "reports/report.json", r.workspace) for r in runs])
    assert row(found, "b").not_comparable == "its scores cannot be computed from the segments that are kept"


def test_the_language_of_a_test_without_a_direction_is_that_of_its_source(tmp_path: Path) -> None:
    """Where it is English, articles do not count."""
    asked = {"source": ["q"] * 8, "reference": ["the lamp", "a boat"] * 4}
    runs = []
    for name, outputs in (("a", ["lamp", "car"] * 4), ("b", ["a lamp", "boat"] * 4)):
        keep_report(tmp_path / name, name, asked | {"hypothesis": outputs}, metrics=["chrF"], task="answers")
        path = tmp_path / name / "reports/report.json"
        report = json.loads(path.read_text("utf-8"))
        metric = create_metric("ExactMatch", "en")
        score = metric.score(metric.statistics(outputs, alone(asked["reference"])).sum(0))
        report["tasks"][0] |= {"type": "Generation", "direction": None}
        report["tasks"][0]["scores"] = [{"metric": "ExactMatch", "score": score, "low": score, "high": score}]
        report["spec"] = {
            "data": {"sources": [{"name": "chat", "languages": ["en"]}]},
            "evaluate": {"tasks": [{"name": "answers", "source": "chat"}]},
        }
        path.write_text(json.dumps(report), "utf-8")
        runs.append(read_run(name, path, tmp_path / name))
    compared = row(compare_runs(runs), "b")
    assert compared.not_comparable is None
    assert [(s.score, s.delta) for s in compared.scores] == [(100.0, 50.0)]


def test_a_test_that_the_first_run_lacks_is_shown_alone(tmp_path: Path) -> None:
    found = compare_runs([kept(tmp_path / "a", "a", WEAK), kept(tmp_path / "b", "b", GOOD, task="other")])
    assert [test.name for test in found.tests] == ["en-es", "other"]
    assert [row.run for row in found.tests[1].rows] == ["b"]
    assert row(found, "b", test=1).not_comparable == "a has no such test"


def test_separators_of_unicode_end_no_segment(tmp_path: Path) -> None:
    outputs = [f"{GOOD[0]}\u2028\u0085{GOOD[1]}", *GOOD[1:]]
    found = compare_runs([kept(tmp_path / "a", "a", WEAK), kept(tmp_path / "b", "b", outputs)])
    assert row(found, "b").not_comparable is None


def test_many_comparisons_get_more_resamples(tmp_path: Path) -> None:
    few = Significance(samples=100)
    runs = [kept(tmp_path / "a", "a", WEAK, significance=few)]
    runs += [kept(tmp_path / name, name, GOOD, significance=few) for name in ("b", "c")]
    found = compare_runs(runs)
    assert found.samples == 1000
    assert {s.verdict for name in ("b", "c") for s in row(found, name).scores} == {"Better"}
    assert compare_runs([kept(tmp_path / "a", "a", WEAK), *runs[1:]]).samples == 1000


def test_cost_is_of_all_stages_and_says_what_a_parent_paid(tmp_path: Path) -> None:
    base = kept(tmp_path, "base", WEAK, cost=COST)
    variant = kept(tmp_path, "v", GOOD, cost=COST | {"adapt": (300.0, 25.0)}, parent="base")
    found = compare_runs([base, variant])
    assert [(run.tokens, run.seconds, run.reused_tokens) for run in found.runs] == [
        (1200.0, 80.0, 0.0),
        (1300.0, 85.0, 1000.0),
    ]
    assert [row.on_front for row in found.tests[0].rows] == [True, True]


def test_a_run_that_costs_more_for_less_is_not_on_the_front(tmp_path: Path) -> None:
    good = kept(tmp_path / "a", "a", GOOD, cost=COST)
    worse = kept(tmp_path / "b", "b", WEAK, cost=COST | {"adapt": (300.0, 20.0)})
    found = compare_runs([good, worse])
    assert [row.on_front for row in found.tests[0].rows] == [True, False]


def test_the_front_counts_devices_where_all_runs_know_theirs(tmp_path: Path) -> None:
    """Half of the time on four devices is twice the work."""
    quick = {stage: (tokens, seconds / 2) for stage, (tokens, seconds) in COST.items()}
    one = kept(tmp_path / "a", "a", GOOD, cost=COST)
    four = kept(tmp_path / "b", "b", GOOD, cost=quick, devices=4)
    found = compare_runs([one, four])
    assert [run.device_seconds for run in found.runs] == [80.0, 160.0]
    assert [row.on_front for row in found.tests[0].rows] == [True, False]
    older = kept(tmp_path / "c", "c", GOOD, cost=quick, devices=None)
    found = compare_runs([one, older])
    assert found.runs[1].device_seconds is None
    assert [row.on_front for row in found.tests[0].rows] == [False, True]


def test_an_unknown_cost_makes_no_front(tmp_path: Path) -> None:
    known, unknown = kept(tmp_path / "a", "a", WEAK, cost=COST), kept(tmp_path / "b", "b", GOOD)
    found = compare_runs([known, unknown])
    assert found.runs[1].tokens is None
    assert [row.on_front for row in found.tests[0].rows] == [None, None]
    # A model that was made anew since is not the one that was scored.
    path = tmp_path / "a/models/adapt/manifest.json"
    path.write_text(path.read_text("utf-8").replace("a-adapt", "newer"), "utf-8")
    assert compare_runs([known, unknown]).runs[0].tokens is None


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ({"a": (1, 1), "b": (2, 2)}, {"a"}),
        ({"a": (1, 2), "b": (2, 1), "c": (2, 2)}, {"a", "b"}),
        ({"a": (1, 1), "b": (1, 1)}, {"a", "b"}),
        ({"a": (1, 1), "b": (1, 2)}, {"a"}),
    ],
)
def test_pareto_front(points: dict[str, tuple[float, ...]], front: set[str]) -> None:
    assert pareto_front(points) == front


def test_a_report_of_another_version_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text('{"job": "a"}', "utf-8")
    with pytest.raises(BadConfiguration, match="is no report that this version can read: Field required"):
        read_run("a", path, tmp_path)
