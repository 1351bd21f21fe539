"""Ticks, curves, differences, figures."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from finetune_api.figures import duration, percent, shots_name, signed
from finetune_api.progress import ArmHistory, HistoryRow
from finetune_charts.drawing import MOST_POINTS, Series, line_chart, thin, tick_text, ticks
from finetune_charts.training import training_charts
from finetune_trainer.data.units import CHARACTERS
from finetune_trainer.reporting.differences import Span, word_differences
from finetune_trainer.reporting.figures import number, p_cell
from finetune_trainer.reporting.sections import cost_table, data_tables, repeat_commands
from unit.reporting import sample

FINITE = st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(FINITE, st.floats(0, 1e9))
@example(268435456.0, 1.192092896e-07)
@example(446338892.0, 1.192092896e-07)
def test_ticks_are_few_even_and_cover_the_values(low: float, span: float) -> None:
    high = low + span
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 8
    tolerance = 1e-6 * max(abs(low), abs(high), 1e-6)
    assert marks[0] <= low + tolerance
    assert marks[-1] >= high - tolerance
    texts = [tick_text(mark, marks[1] - marks[0]) for mark in marks]
    assert len(set(texts)) == len(texts), texts


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(12e3, 2e3, "12k"), (12.5e3, 500, "12.5k"), (0.25, 0.05, "0.25"), (3, 1, "3"), (2e6, 1e6, "2M"), (950, 50, "950")],
)
def test_tick_texts(value: float, step: float, text: str) -> None:
    assert tick_text(value, step) == text


def test_thinning_keeps_both_ends() -> None:
    points = [(float(i), 0.0) for i in range(10_001)]
    thinned = thin(points)
    assert len(thinned) <= MOST_POINTS
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert thin(points[:5]) == points[:5]


def test_a_line_of_one_point_and_a_flat_line_can_be_drawn() -> None:
    assert "<circle" in line_chart("x", [Series("a", [(3.0, 2.0)])], "x", "y").svg
    assert "nan" not in line_chart("x", [Series("a", [(1.0, 2.0), (2.0, 2.0)])], "x", "y").svg


def test_curves_show_what_the_history_has() -> None:
    assert [c.title for c in training_charts(sample.history(90))] == [
        "Training loss by arm", "Validation loss", "Mixture", "Speed"
    ]  # fmt: skip
    arm = {"en-es": ArmHistory(probability=1.0, loss=2.0, tokens=5)}
    loss = {"all": 3.0, "x": 3.0}
    rows = [HistoryRow(step=s, tokens=s, seconds=s, loss=2.0, arms=arm, validation_loss=loss) for s in (1, 2)]
    charts = training_charts(rows)
    assert [(c.title, list(c.legend)) for c in charts] == [("Training loss", []), ("Validation loss", [])]
    assert training_charts([HistoryRow(step=1, tokens=1, seconds=1.0)]) == []
    assert training_charts([]) == []


def test_scores_of_answers_are_a_curve_a_metric_for_each_has_its_own_scale() -> None:
    scores = [{"chrF++": 10.0, "TokenF1": 3.0}, {}, {"chrF++": 14.0, "TokenF1": 5.0}]
    rows = [HistoryRow(step=i, tokens=1, seconds=1.0, validation_score=found) for i, found in enumerate(scores)]
    charts = training_charts(rows)
    assert [chart.title for chart in charts] == ["Validation chrF++", "Validation TokenF1"]
    assert all(chart.svg.count("<polyline") + chart.svg.count("<path") >= 1 for chart in charts)


def test_differences_are_words_of_the_text_in_order() -> None:
    assert word_differences("a b c d", "a x c") == [
        Span("a", shared=True), Span("b", shared=False), Span("c", shared=True), Span("d", shared=False)
    ]  # fmt: skip
    assert word_differences("", "a") == []
    assert word_differences("a", "") == [Span("a", shared=False)]


def test_differences_are_characters_where_there_are_no_blanks() -> None:
    assert word_differences("打开 文件。", "打开窗口。", CHARACTERS) == [
        Span("打开", shared=True), Span(" 文件", shared=False), Span("。", shared=True)
    ]  # fmt: skip


@given(st.text(alphabet="ab ", max_size=30), st.text(alphabet="ab ", max_size=30))
def test_no_word_is_lost(text: str, other: str) -> None:
    assert " ".join(span.text for span in word_differences(text, other)) == " ".join(text.split())


def test_figures_for_people() -> None:
    assert [number(x) for x in (0, 12345.6, 500.0, 123.45, 59.7, 1.234, 0.00123)] == [
        "0", "12,346", "500", "123.5", "59.7", "1.23", "0.0012"
    ]  # fmt: skip
    assert [duration(s) for s in (6.23, 48.2, 161, 11100)] == ["6.2 s", "48 s", "2 min 41 s", "3 h 05 min"]
    assert [p_cell(p) for p in (None, 0.0005, 0.03)] == ["–", "< 0.001", "0.03"]
    assert [signed(x) for x in (None, 1.5, -1.5)] == ["–", "+1.50", "−1.50"]
    assert [percent(x) for x in (0.0, 0.0142, 1.0)] == ["0.0 %", "1.4 %", "100.0 %"]
    assert [shots_name(n) for n in (0, 1, 5)] == ["zero-shot", "one-shot", "5-shot"]


def test_cost_is_a_table_by_stage() -> None:
    table = cost_table({"pretrain.seconds": 161, "adapt.seconds": 9, "pretrain.tokensPerSecond": 9800})
    assert list(table.header) == ["Stage", "Seconds", "Tokens per second"]
    assert [list(row) for row in table.rows] == [["pretrain", "2 min 41 s", "9,800"], ["adapt", "9.0 s", "–"]]


def test_data_is_shown_whatever_the_report_holds() -> None:
    (title, sources), (_, summary) = data_tables(sample.report().data)
    assert title == "Sources"
    assert ["Dropped: duplicate", "612"] in [list(row) for row in sources.rows]
    assert any(row[1].startswith("ui.tsv abab") for row in sources.rows)
    assert [list(row) for row in summary.rows] == [["Message", "8,012 pairs kept"]]
    assert data_tables({}) == []


def test_commands_name_metric_and_tokenizer() -> None:
    commands = repeat_commands(sample.report())
    assert "cut -f 3) -m chrf --chrf-word-order 2 " in commands[1]
    assert "-m bleu -b" in commands[2]
