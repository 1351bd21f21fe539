"""Which charts a training history gives."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.progress import HistoryRow
from finetune_charts.drawing import Chart, Series, line_chart, share_chart

_STEPS = "optimizer steps"


def training_charts(rows: Sequence[HistoryRow]) -> list[Chart]:
    """Loss by arm, validation loss and scores, mixture, speed: those that the rows have figures for."""
    charts = [_loss(rows), _validation(rows), *_scores(rows), _mixture(rows), _speed(rows)]
    return [chart for chart in charts if chart is not None]


def _arm_names(rows: Sequence[HistoryRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.arms))


def _loss(rows: Sequence[HistoryRow]) -> Chart | None:
    arms = [
        Series(name, [(r.step, loss) for r in rows if name in r.arms and (loss := r.arms[name].loss) is not None])
        for name in _arm_names(rows)
    ]
    series = [s for s in arms if s.points]
    if len(series) < 2:
        series = [Series("loss", [(r.step, r.loss) for r in rows if r.loss is not None])]
    if not any(s.points for s in series):
        return None
    return line_chart("Training loss" + (" by arm" if len(series) > 1 else ""), series, _STEPS, "nats per target token")


def _validation(rows: Sequence[HistoryRow]) -> Chart | None:
    names = list(dict.fromkeys(name for row in rows for name in row.validation_loss))
    if len(names) == 2 and "all" in names:
        names = [name for name in names if name != "all"]  # the mean of one set is that set
    names.sort(key=lambda name: name != "all")
    series = [
        Series(name, [(r.step, r.validation_loss[name]) for r in rows if name in r.validation_loss]) for name in names
    ]
    return line_chart("Validation loss", series, _STEPS, "nats per target token") if series else None


def _scores(rows: Sequence[HistoryRow]) -> list[Chart]:
    """A chart a metric: each has its own scale."""
    metrics = dict.fromkeys(name for row in rows for name in row.validation_score)
    points = {m: [(float(r.step), r.validation_score[m]) for r in rows if m in r.validation_score] for m in metrics}
    return [line_chart(f"Validation {m}", [Series(m, points[m])], _STEPS, m) for m in metrics]


def _mixture(rows: Sequence[HistoryRow]) -> Chart | None:
    names = _arm_names(rows)
    known = [row for row in rows if row.arms]
    if len(names) < 2 or len(known) < 2:
        return None
    shares = {name: [_share(row, name) for row in known] for name in names}
    return share_chart("Mixture", [row.step for row in known], shares, _STEPS)


def _share(row: HistoryRow, name: str) -> float:
    total = sum(arm.probability for arm in row.arms.values())
    return row.arms[name].probability / total if name in row.arms and total > 0 else 0.0


def _speed(rows: Sequence[HistoryRow]) -> Chart | None:
    points = [(float(r.step), r.tokens_per_second) for r in rows if r.tokens_per_second is not None]
    if not points:
        return None
    return line_chart("Speed", [Series("speed", points)], _STEPS, "tokens per second", from_zero=True)
