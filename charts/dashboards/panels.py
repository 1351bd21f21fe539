"""What all dashboards share: their head, and panels of Prometheus queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import text as text_panel
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

TAG = "finetune-operator"
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
STAT_HEIGHT = 4
MINIMUM_INTERVAL = "15s"
"""No query is finer than Prometheus' usual interval of scrapes."""

Unit = Literal["none", "short", "percentunit", "percent", "s", "bytes", "h", "ops", "cps"]
Shape = Literal["curve", "stack", "figure", "bars"]


@dataclass(frozen=True)
class Panel:
    """One panel; `queries` are pairs of PromQL and legend."""

    title: str
    description: str
    unit: Unit
    queries: tuple[tuple[str, str], ...]
    shape: Shape = "curve"
    width: int = 12
    exemplars: bool = False
    """Show those of the histogram behind it."""


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def board(uid: str, title: str, description: str, sections: Sequence[Section]) -> boards.Dashboard:
    """A dashboard with the variable of the data source, links to the others, and the panels."""
    built = (
        boards.Dashboard(title)
        .uid(f"finetune-{uid}")
        .description(description)
        .tags([TAG])
        .readonly()
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            boards.DashboardLink("Fine-tuning")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(boards.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for section in sections:
        built = built.with_row(boards.Row(section.title))
        for panel in section.panels:
            built = built.with_panel(_builder(panel))
    return built


def quantiles(metric: str, selector: str, by: str = "") -> tuple[tuple[str, str], ...]:
    """Queries for median and 95th percentile of a histogram; `by` is a label that stays."""
    labels, legend = (f"{by}, le", f"{{{{{by}}}}} ") if by else ("le", "")
    return tuple(
        (
            f"histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket{selector}[$__rate_interval])))",
            f"{legend}{name}",
        )
        for quantile, name in ((0.5, "p50"), (0.95, "p95"))
    )


def variable(name: str, label: str, query: str, *, several: bool = False) -> boards.QueryVariable:
    """A variable with the values of a label; `several`: any number of them, all at first."""
    built = (
        boards.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    return built.multi(True).include_all(True).all_value(".*") if several else built


def note(title: str, description: str, markdown: str) -> text_panel.Panel:
    """A panel of text over the whole width."""
    return text_panel.Panel().title(title).description(description).content(markdown).height(STAT_HEIGHT).span(24)


def _builder(panel: Panel) -> timeseries.Panel | stat.Panel | bargauge.Panel:
    built: timeseries.Panel | stat.Panel | bargauge.Panel
    if panel.shape == "figure":
        # A value that is always 1 says what its series is called.
        mode = options.BigValueTextMode.NAME if panel.unit == "none" else options.BigValueTextMode.AUTO
        built = stat.Panel().height(STAT_HEIGHT).text_mode(mode).reduce_options(_last())
    elif panel.shape == "bars":
        built = bargauge.Panel().height(HEIGHT).orientation(options.VizOrientation.HORIZONTAL).reduce_options(_last())
    else:
        built = timeseries.Panel().height(HEIGHT).legend(_legend()).fill_opacity(40 if panel.shape == "stack" else 0)
        if panel.shape == "stack":
            built = built.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    built = (
        built.title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .span(panel.width)
        .datasource(DATASOURCE)
    )
    for index, (expression, legend) in enumerate(panel.queries):
        query = (
            prometheus.Dataquery()
            .ref_id(chr(ord("A") + index))
            .expr(" ".join(expression.split()))
            .legend_format(legend)
            .interval(MINIMUM_INTERVAL)
        )
        if panel.exemplars and index == 0:  # Grafana would draw those of each query, and they are the same
            query = query.exemplar(True)
        built = built.with_target(query if panel.shape in ("curve", "stack") else query.instant())
    return built


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.TABLE)
        .placement(options.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def to_json(built: boards.Dashboard) -> str:
    """As Grafana imports it."""
    return json.dumps(json.loads(JSONEncoder(sort_keys=True, indent=2).encode(built.build())), indent=2) + "\n"
