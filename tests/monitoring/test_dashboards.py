"""What each dashboard must have, whatever it shows."""

from __future__ import annotations

import json
import re

import pytest

from chart.helm import CHART, render
from finetune_api.metrics import ALL_METRICS
from monitoring.panels import boards, metric_queries, panels_of, queries_of

BOARDS = boards()
VARIABLES = {
    "run": ["datasource", "namespace", "job"],
    "runs-overview": ["datasource", "namespace"],
    "operator": ["datasource", "namespace"],
}


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_tells_what_it_shows(name: str) -> None:
    titles = [panel["title"] for panel in panels_of(BOARDS[name])]
    assert len(titles) == len(set(titles)) > 5
    for panel in panels_of(BOARDS[name]):
        assert panel["description"].endswith((".", ";")), panel["title"]
        if panel["type"] == "text":
            continue
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert not re.search(r"\[\d", target["expr"]), "a fixed range: use $__rate_interval"
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"]


@pytest.mark.parametrize("name", BOARDS)
def test_panels_fill_the_width_and_do_not_overlap(name: str) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in panels_of(BOARDS[name]):
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in own) < 24, panel["title"]
        assert not own & cells, panel["title"]
        cells |= own


@pytest.mark.parametrize("name", BOARDS)
def test_variables_and_links(name: str) -> None:
    board = BOARDS[name]
    assert [variable["name"] for variable in board["templating"]["list"]] == VARIABLES[name]
    (link,) = board["links"]
    assert link["tags"] == board["tags"] == ["finetune-operator"]
    assert link["includeVars"]
    assert link["keepTime"]


def test_queries_ask_for_metrics_that_exist() -> None:
    exposed = {metric.exposed_name for metric in ALL_METRICS}
    asked = set()
    for _, title, query in metric_queries():
        for name in re.findall(r"(?<![:\w])(?:finetune|kube_finetunejob)_\w+", query):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert {name, base} & exposed, (title, name)
            asked |= {name, base} & exposed
    unseen = exposed - asked
    assert unseen <= {"finetune_step", "finetune_last_step_timestamp_seconds", "finetune_arm_tokens_total",
                      "finetune_validation_score", "kube_finetunejob_completion_seconds"}, unseen  # fmt: skip


def test_the_run_tells_how_to_open_its_report() -> None:
    (text,) = (panel for panel in panels_of(BOARDS["run"]) if panel["type"] == "text")
    assert "${job}-report -n ${namespace}" in text["options"]["content"]
    assert not queries_of(text)


def test_the_chart_gives_them_to_the_sidecar() -> None:
    options = {"enabled": True, "annotations": {"grafana_folder": "Training"}, "namespace": "grafana"}
    maps = [
        o
        for o in render({"monitoring": {"dashboards": options}})
        if o["kind"] == "ConfigMap" and "grafana_dashboard" in o["metadata"]["labels"]
    ]
    assert {o["metadata"]["namespace"] for o in maps} == {"grafana"}
    assert all(o["metadata"]["annotations"] == {"grafana_folder": "Training"} for o in maps)
    shipped = {name: text for o in maps for name, text in o["data"].items()}
    assert {name: json.loads(text) for name, text in shipped.items()} == {
        f"finetune-{name}.json": board for name, board in BOARDS.items()
    }
    assert {path.stem for path in (CHART / "dashboards").glob("*.json")} == set(BOARDS)
    assert sum(len(text) for text in shipped.values()) < 500_000, "a ConfigMap holds 1 MiB"
