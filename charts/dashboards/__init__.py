"""The Grafana dashboards, as code: `make generate` writes their JSON into the chart."""

from __future__ import annotations

from dashboards import operator_board, run, runs_overview
from dashboards.panels import to_json


def dashboards() -> dict[str, str]:
    """JSON of each dashboard, by the name of its file."""
    boards = {"runs-overview": runs_overview.build(), "run": run.build(), "operator": operator_board.build()}
    return {name: to_json(board) for name, board in boards.items()}
