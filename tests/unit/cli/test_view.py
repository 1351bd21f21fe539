"""The terminal view, rendered to text."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from finetune_api.evaluation_summary import EvaluationSummary, RivalSummary, ScoreSummary
from finetune_api.job import FineTuneJob
from finetune_api.status import FineTuneJobStatus, Goodput, ProgressStatus, StageStatus
from finetune_cli.score_table import score_table
from finetune_cli.view import change_line, job_view

START = datetime(2026, 1, 1, tzinfo=UTC)


def render(renderable: RenderableType, width: int = 100) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def running_job() -> FineTuneJob:
    job = FineTuneJob.from_json_object(
        {
            "metadata": {"name": "ui-en-es"},
            "spec": {
                "parallelism": {"nodes": 2},
                "model": {"scratch": {"layers": 1, "hidden": 64, "heads": 2}},
                "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]},
                "evaluate": {"tasks": [{"name": "en-es", "source": "ui", "direction": "en-es"}]},
            },
        }
    )
    status = FineTuneJobStatus(
        state="Running",
        current_stage="adapt",
        restarts=1,
        goodput=Goodput(ratio=0.97),
        progress=ProgressStatus(
            step=310,
            total_steps=500,
            percent=62,
            loss=2.87,
            tokens_per_second=9800.0,
            eta_seconds=41,
            validation_loss=2.912,
            mixture={"en": 0.31, "es": 0.69},
        ),
        stages=[
            StageStatus(
                name="prepare",
                state="Succeeded",
                attempt=1,
                start_time=START,
                completion_time=START + timedelta(seconds=6),
                message="8,012 pairs kept of 9,377",
            ),
            StageStatus(name="adapt", state="Running", attempt=2, start_time=START + timedelta(seconds=6)),
            StageStatus(name="evaluate", state="Pending"),
        ],
    )
    return job.model_copy(update={"status": status})


def test_view_shows_stages_progress_and_what_ctrl_c_does() -> None:
    text = render(job_view(running_job(), START + timedelta(seconds=161)))
    assert "ui-en-es  adapt 2/3 · ZeRO-2 · 2 ranks · attempt 2" in text
    assert "2m41s" in text
    assert "✔  prepare    8,012 pairs kept of 9,377" in text
    assert "62%" in text
    assert "step 310/500 · eta 41s" in text
    assert "loss 2.870 · validation 2.912 · 9.8 k tok/s · mixture en\u00a031% es\u00a069%" in text
    assert "◌  evaluate" in text
    assert "restarts 1 · goodput 97%" in text
    assert "Ctrl-C saves and stops" in text


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_view_cuts_no_figure_of_the_running_stage(width: int) -> None:
    words = render(job_view(running_job(), START + timedelta(seconds=161)), width).split(" ")
    for word in ("310/500", "41s", "2.870", "2.912", "tok/s", "es\u00a069%"):
        assert word in words


def test_change_line_is_flat_and_has_no_nulls() -> None:
    line = change_line(running_job())
    assert line["stage"] == "adapt"
    assert line["etaSeconds"] == 41
    assert None not in line.values()


def test_score_table_shows_baseline_interval_and_verdict() -> None:
    score = ScoreSummary(
        task="en-es",
        shots=1,
        metric="chrF++",
        score=31.5,
        low=30.6,
        high=32.4,
        baseline=19.7,
        p_value=0.001,
        verdict="Better",
    )
    text = render(score_table(EvaluationSummary(scores=[score])))
    assert "one-shot" in text
    assert "19.7 → 31.5 ±0.9 ▲" in text


def test_score_table_says_first_what_must_be_known_first_and_shows_the_difference() -> None:
    score = ScoreSummary(
        task="en-es",
        shots=0,
        metric="chrF++",
        score=0.6,
        low=0.5,
        high=0.7,
        baseline=7.2,
        delta_low=-7.2,
        delta_high=-6.0,
        p_value=0.002,
        p_adjusted=0.006,
        verdict="Worse",
    )
    warnings = ["en-es zero-shot: length ratio 0.05"]
    text = render(score_table(EvaluationSummary(scores=[score], outcome="NotUsable", warnings=warnings)))
    assert text.index("⚠ en-es zero-shot: length ratio 0.05") < text.index("chrF++")
    assert "7.2 → 0.6 ±0.1 ▼" in text
    assert "−6.6 (−7.2 to −6.0)" in text
    assert "0.006" in text


def test_score_table_shows_rivals_by_the_first_metric() -> None:
    score = ScoreSummary(task="en-es", shots=0, metric="chrF++", score=31.3, low=30.0, high=32.0)
    rival = RivalSummary(
        name="paste", task="en-es", shots=0, metric="chrF++", score=20.1, delta=11.2, delta_low=10.0, delta_high=12.5,
        p_adjusted=0.004, verdict="Better",
    )  # fmt: skip
    text = render(score_table(EvaluationSummary(scores=[score], rivals=[rival])))
    line = next(line for line in text.splitlines() if line.startswith("paste"))
    assert line.split() == [
        "paste",
        "zero-shot",
        "chrF++",
        "20.1",
        "→",
        "31.3",
        "▲",
        "+11.2",
        "(+10.0",
        "to",
        "+12.5)",
        "0.004",
    ]
    assert "against" not in render(score_table(EvaluationSummary(scores=[score])))


def test_score_table_reads_what_the_last_release_wrote() -> None:
    score = ScoreSummary(task="t", shots=0, metric="BLEU", score=2, low=1, high=3, baseline=1, p_value=0.01)
    text = render(score_table(EvaluationSummary(scores=[score])))
    assert "1.0 → 2.0 ±1.0" in text
    assert "difference" not in text
