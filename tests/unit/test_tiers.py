"""The runner of the tiers must never call a run good that was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiers import Outcome, Totals, exit_code, judge, read_totals


def test_totals_are_read_from_junit_and_errors_are_failures(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    junit.write_text('<testsuites><testsuite tests="7" failures="1" errors="2" skipped="1"/></testsuites>')
    assert str(read_totals(junit)) == "3 passed, 3 failed, 1 skipped"


@pytest.mark.parametrize("content", [None, "", "<testsuites><testsuite"])
def test_a_missing_or_broken_junit_counts_nothing(content: str | None, tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    if content is not None:
        junit.write_text(content)
    assert read_totals(junit) == Totals()


@pytest.mark.parametrize(
    ("code", "totals", "state"),
    [
        (0, Totals(passed=3), "passed"),
        (0, Totals(passed=3, skipped=1), "passed"),
        (0, Totals(skipped=4), "skipped"),
        (5, Totals(), "skipped"),
        (1, Totals(passed=2, failed=1), "failed"),
        (2, Totals(passed=9), "failed"),
        (-9, Totals(), "failed"),
    ],
)
def test_a_tier_passes_only_if_something_passed_and_nothing_failed(code: int, totals: Totals, state: str) -> None:
    assert judge("unit", code, totals).state == state


@pytest.mark.parametrize(("state", "code", "strict"), [("passed", 0, 0), ("skipped", 0, 1), ("failed", 1, 1)])
def test_a_skipped_tier_fails_only_where_all_are_required(state: str, code: int, strict: int) -> None:
    outcomes = [Outcome("lint", "passed", ""), Outcome("training", state, "")]
    assert exit_code(outcomes, require_all=False) == code
    assert exit_code(outcomes, require_all=True) == strict


@pytest.mark.parametrize(("state", "code"), [("passed", 0), ("skipped", 0), ("failed", 1)])
def test_a_machine_that_holds_no_node_may_skip_that_tier_and_only_skip_it(state: str, code: int) -> None:
    assert exit_code([Outcome("unit", "passed", ""), Outcome("node", state, "")], require_all=True) == code
