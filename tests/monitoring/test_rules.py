"""Every alert fires when it should, stays quiet when it should, and has a runbook; the chart ships the same rules."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from chart.helm import MONITORS, render
from cluster import build_tools
from finetune_api.metrics import ALL_METRICS
from finetune_api.objects import Object

HEADINGS = ("**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mitigation.**")


def promtool(*arguments: str | Path) -> str:
    """What promtool prints; fails if it finds something wrong."""
    program = build_tools.build(build_tools.MONITORING)["promtool"]
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def rules(root: Path) -> Path:
    return root / "manifests" / "monitoring" / "rules.yaml"


@pytest.fixture(scope="module")
def groups(rules: Path) -> list[Object]:
    found: list[Object] = yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
    return found


def alerts(groups: list[Object]) -> dict[str, Object]:
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def prometheus_rule(values: Object) -> list[Object]:
    objects = render({"monitoring": {"rules": {"enabled": True} | values}}, *MONITORS)
    (rule,) = (o for o in objects if o["kind"] == "PrometheusRule")
    found: list[Object] = rule["spec"]["groups"]
    return found


def test_prometheus_takes_the_rules(rules: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", rules)


def test_alerts_fire_and_keep_quiet(root: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", root / "tests" / "monitoring" / "alerts_test.yaml")


def test_every_alert_has_a_firing_and_a_quiet_case(root: Path, groups: list[Object]) -> None:
    cases = yaml.safe_load((root / "tests" / "monitoring" / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
    expected: dict[str, set[bool]] = {}
    for case in cases:
        for test in case["alert_rule_test"]:
            expected.setdefault(test["alertname"], set()).add(bool(test["exp_alerts"]))
    assert expected == {name: {True, False} for name in alerts(groups)}


def test_every_alert_has_its_runbook(root: Path, groups: list[Object]) -> None:
    for name, alert in alerts(groups).items():
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert anchor == name.lower()
        sections = re.split(r"^## ", (root / page).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        (own,) = (section for section in sections if section.splitlines()[0] == name)
        positions = [own.find(heading) for heading in HEADINGS]
        assert positions == sorted(positions), name
        assert min(positions) > 0, name
        assert "```sh" in own, name


def test_every_runbook_has_its_alert(root: Path, groups: list[Object]) -> None:
    pages = (root / "docs" / "runbooks").glob("*.md")
    headings = [h for page in pages for h in re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)]
    assert sorted(headings) == sorted(alerts(groups))


def test_rules_ask_for_metrics_that_exist(groups: list[Object]) -> None:
    ours = {metric.exposed_name for metric in ALL_METRICS}
    for group in groups:
        for rule in group["rules"]:
            for name in re.findall(r"\b(?:finetune|kube_finetunejob)_\w+", rule["expr"]):
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                assert {name, base} & ours or f":{name}:" in rule["expr"], (name, rule["expr"])


def test_the_chart_ships_the_same_rules(groups: list[Object]) -> None:
    assert prometheus_rule({}) == groups


def test_values_change_the_rules() -> None:
    changed = alerts(
        prometheus_rule(
            {
                "thresholds": {"stalledSeconds": 60, "pendingSeconds": 90, "goodputRatio": 0.5},
                "runbooks": "https://runbooks.example.com",
                "alertLabels": {"team": "ml", "severity": "page"},
                "disabled": ["FineTuneJobGpuIdle"],
            }
        )
    )
    assert "> 60" in changed["FineTuneJobStalled"]["expr"]
    assert changed["FineTuneJobPendingTooLong"]["for"] == "90s"
    assert "< 0.5" in changed["FineTuneJobGoodputLow"]["expr"]
    assert "FineTuneJobGpuIdle" not in changed
    down = changed["FineTuneOperatorDown"]
    assert down["labels"] == {"team": "ml", "severity": "page"}
    assert down["annotations"]["runbook_url"] == "https://runbooks.example.com/operator.md#finetuneoperatordown"


def test_no_threshold_is_left_out(groups: list[Object]) -> None:
    assert "threshold(" not in yaml.safe_dump(groups)
