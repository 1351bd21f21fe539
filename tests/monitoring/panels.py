"""Panels of the dashboards, read from their JSON as Grafana reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dashboards import dashboards

from finetune_api.objects import Object


def boards() -> dict[str, Object]:
    """Each dashboard by its name."""
    return {name: json.loads(text) for name, text in dashboards().items()}


def panels_of(board: Object) -> Iterator[Object]:
    """All panels, those under a collapsed row too."""
    for panel in board["panels"]:
        yield from panel.get("panels") or ()
        if panel["type"] != "row":
            yield panel


def queries_of(panel: Object) -> list[str]:
    """PromQL, with the variables still in."""
    return [target["expr"] for target in panel.get("targets") or ()]


def metric_queries() -> list[tuple[str, str, str]]:
    """(dashboard, panel, PromQL) of everything that is asked."""
    return [(n, p["title"], q) for n, board in boards().items() for p in panels_of(board) for q in queries_of(p)]


def filled_in(query: str, namespace: str, job: str) -> str:
    """The query as Grafana sends it."""
    values = {"$__rate_interval": "30s", "$__range": "10m", "$namespace": namespace, "$job": job}
    for variable, value in values.items():
        query = query.replace(variable, value)
    return query
