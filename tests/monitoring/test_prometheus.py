"""Every panel and every alert asks a real Prometheus, which has scraped real runs, and gets an answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from finetune_api import metrics
from monitoring import played
from monitoring.panels import filled_in, metric_queries
from monitoring.pictures import write_pictures
from monitoring.prometheus import Prometheus, Series

RUNS = (("default", "tiny"), ("team-a", played.LIVE), ("team-a", played.DONE))
"""The run on this machine, and two on the control plane."""
FIRED = {"FineTuneJobFailed", "FineTuneJobEvaluationRegressed", "FineTuneJobModelUnfit"}
"""What the faults of the played jobs must set off."""


def answers(server: Prometheus, board: str, query: str) -> list[Series]:
    """To a panel's query, about each of the runs where it asks for one."""
    if board != "run":
        return server.over_time(filled_in(query, ".*", ""))
    return [one for run in RUNS for one in server.over_time(filled_in(query, *run))]


@pytest.mark.parametrize(("board", "panel", "query"), metric_queries())
def test_the_query_of_a_panel_gets_an_answer(scraped: Prometheus, board: str, panel: str, query: str) -> None:
    assert answers(scraped, board, query), f"{board} / {panel}: nothing for {query}"


def test_the_rules_are_evaluated_and_ask_for_series_that_are_there(scraped: Prometheus) -> None:
    groups = scraped.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == 17
    for rule in rules:
        assert rule["health"] == "ok", rule
        for name in set(
            re.findall(r"(?<![:\w])(?:finetune_|kube_finetunejob_|DCGM_|namespace_finetunejob)[\w:]+", rule["query"])
        ):
            assert scraped.over_time(f"{{__name__={name!r}}}".replace("'", '"')), (rule["name"], name)


def test_faults_set_off_their_alerts_and_nothing_else(scraped: Prometheus) -> None:
    assert scraped.firing() == FIRED


def test_every_target_is_scraped_without_an_error(scraped: Prometheus) -> None:
    assert not scraped.over_time('up{job="operator"} == 0')
    (run,) = scraped.over_time('up{job="run"}')
    assert run.points[-1][1] == 1
    assert {one.labels["namespace"] for one in scraped.over_time('up{job="trainer"} == 1')} == {"default"}


def test_one_target_tells_of_all_ranks_of_a_pod(scraped: Prometheus) -> None:
    for name in (metrics.RANK_STEP_SECONDS.name, metrics.HOST_MEMORY.name):
        series = scraped.over_time(f'{name}{{finetunejob="tiny", stage="pretrain"}}')
        assert {one.labels["rank"] for one in series} == {"0", "1"}, name
        assert len({one.labels["instance"] for one in series}) == 1
    (memory, _) = series
    assert all(5e7 < value < 5e9 for _, value in memory.points)


def test_what_the_devices_are_used_for_is_a_share(scraped: Prometheus) -> None:
    series = scraped.over_time(f'{metrics.MFU.name}{{finetunejob="tiny", stage="pretrain"}}')
    full, causal = ({one.labels["convention"]: one.points for one in series}[name] for name in ("full", "causal"))
    assert all(0 < lower < upper < 1 for (_, lower), (_, upper) in zip(causal, full, strict=True))


def test_exemplars_name_the_step_and_the_job(scraped: Prometheus) -> None:
    steps = scraped.exemplars(f"{metrics.STEP_DURATION.name}_bucket")
    assert max(int(labels["step"]) for labels in steps) > 100
    visits = scraped.exemplars(f"{metrics.RECONCILE_DURATION.name}_bucket")
    assert {labels["finetunejob"] for labels in visits} & {played.LIVE, played.DONE, played.BROKEN}


def test_losses_fall_in_what_prometheus_keeps(scraped: Prometheus) -> None:
    (loss,) = scraped.over_time('max by (stage) (finetune_loss{finetunejob="tiny", stage="pretrain"})')
    assert loss.points[-1][1] < loss.points[0][1]


def test_pictures_of_all_panels_can_be_drawn(scraped: Prometheus, tmp_path: Path) -> None:
    shown = [(f"{b} / {p}", answers(scraped, b, q)) for b, p, q in metric_queries()]
    page = write_pictures(tmp_path / "panels.html", shown)
    assert page.read_text(encoding="utf-8").count("<svg") >= len(shown)


def test_the_shipped_rules_are_those_that_ran(root: Path, scraped: Prometheus) -> None:
    shipped = yaml.safe_load((root / "manifests" / "monitoring" / "rules.yaml").read_text(encoding="utf-8"))
    names = {group["name"] for group in shipped["groups"]}
    assert {group["name"] for group in scraped.ask("rules")["groups"]} == names
