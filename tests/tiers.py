"""Runs the tiers of the tests one after the other and says what ran, what could not, and the totals."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from e2e import node_requirements
from image import debian_base

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS_COLLECTED = 5


@dataclass(frozen=True)
class Totals:
    """Outcomes of pytest runs, added up."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass(frozen=True)
class Outcome:
    """What became of one tier: `state` is passed, failed or skipped; `detail` is the figure or the remedy."""

    tier: str
    state: str
    detail: str
    totals: Totals = Totals()


def read_totals(junit: Path) -> Totals:
    """Totals of a JUnit file; errors count as failures. An absent or broken file counts nothing."""
    try:
        suites = list(ET.parse(junit).getroot().iter("testsuite"))
    except (OSError, ET.ParseError):
        return Totals()
    counts = {
        name: sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    }
    failed = counts["failures"] + counts["errors"]
    return Totals(counts["tests"] - failed - counts["skipped"], failed, counts["skipped"])


def judge(tier: str, exit_code: int, totals: Totals) -> Outcome:
    """The outcome of a pytest run. A crash fails even if every test that ran passed."""
    if exit_code not in (0, NO_TESTS_COLLECTED):
        detail = str(totals) if totals.failed else f"pytest ended with {exit_code}; {totals}"
        return Outcome(tier, "failed", detail, totals)
    if totals.passed == 0:
        return Outcome(tier, "skipped", "no test of this tier ran (reasons above)", totals)
    return Outcome(tier, "passed", str(totals), totals)


def run_lint() -> Outcome:
    """Style, types, import contracts, generated files."""
    code = subprocess.run(["make", "lint"], cwd=ROOT, check=False).returncode
    return Outcome("lint", "failed" if code else "passed", "make lint")


def run_pytest(tier: str, *options: str, within: Sequence[str] = ()) -> Outcome:
    """All tests in `tests/<tier>`; `within` is a command that starts the rest of its line in another surrounding."""
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        command = [*within, sys.executable, "-m", "pytest", f"tests/{tier}", "-q", f"--junit-xml={junit}", *options]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        return judge(tier, code, read_totals(junit))


def run_unit() -> Outcome:
    """Pure code, in two processes."""
    return run_pytest("unit", "-n", "2")


def run_training() -> Outcome:
    """Real training on this machine, one run at a time."""
    if importlib.util.find_spec("torch") is None:
        return Outcome("training", "skipped", 'torch is not installed: make install EXTRAS="trainer dev"')
    return run_pytest("training", "--timeout=600")


def run_cluster() -> Outcome:
    """The operator on a real control plane; its programs are built first."""
    if not _build_tools():
        return Outcome("cluster", "failed", "the control plane could not be built (reason above)")
    return run_pytest("cluster", "--timeout=300")


def run_chart() -> Outcome:
    """The Helm chart: what it renders, what linters say, and a life of a release on a real API server."""
    if not _build_tools("--chart"):
        return Outcome("chart", "failed", "the control plane or Helm could not be built (reason above)")
    return run_pytest("chart", "--timeout=300")


def run_monitoring() -> Outcome:
    """Rules and dashboards against a real Prometheus that scrapes real runs."""
    if importlib.util.find_spec("torch") is None:
        return Outcome("monitoring", "skipped", 'torch is not installed: make install EXTRAS="trainer dev"')
    if not _build_tools("--prometheus"):
        return Outcome("monitoring", "failed", "Prometheus or the control plane could not be built (reason above)")
    return run_pytest("monitoring", "--timeout=300")


def run_node() -> Outcome:
    """The chart, and one job from `kubectl apply` to its report, scraped by Prometheus, where a node can be held."""
    missing = node_requirements.missing()
    if missing:
        return Outcome("node", "skipped", f"a node cannot run here: {'; '.join(missing)}")
    if not _build_tools("--node", "--prometheus"):
        return Outcome("node", "skipped", "the node's programs could not be built here (reason above)")
    options = ("tests/e2e/test_chart.py", "--chart", "--timeout=600", "--skip-without-node")
    return replace(run_pytest("e2e/test_life.py", *options, within=node_requirements.NAMESPACES), tier="node")


def run_e2e() -> Outcome:
    """The operator and its jobs as pods of a real node, in namespaces of the kernel that end with the tests."""
    missing = node_requirements.missing()
    if missing:
        return Outcome("e2e", "skipped", f"a node cannot run here: {'; '.join(missing)}")
    if not _build_tools("--node", "--prometheus"):
        return Outcome("e2e", "failed", "the node's programs could not be built (reason above)")
    missing = debian_base.missing()
    if missing:
        return Outcome("e2e", "skipped", f"the operator's image cannot be built here: {'; '.join(missing)}")
    if subprocess.run(["make", "image", "BOOTSTRAP=1", "TARGETS=operator"], cwd=ROOT, check=False).returncode != 0:
        return Outcome("e2e", "failed", "the operator's image could not be built (reason above)")
    return run_pytest("e2e", "--timeout=600", within=node_requirements.NAMESPACES)


def run_kueue() -> Outcome:
    """The operator beside a real Kueue, which is built first."""
    if not _build_tools("--kueue"):
        return Outcome("kueue", "failed", "Kueue could not be built (reason above)")
    return run_pytest("kueue", "--timeout=300")


def run_image() -> Outcome:
    """The operator's image, built without a registry and run as a container."""
    missing = debian_base.missing()
    if missing:
        return Outcome("image", "skipped", f"images cannot be built here: {'; '.join(missing)}")
    return run_pytest("image", "--timeout=600")


def _build_tools(*options: str) -> bool:
    command = [sys.executable, "tests/cluster/build_tools.py", *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


TIERS: dict[str, Callable[[], Outcome]] = {
    "lint": run_lint,
    "unit": run_unit,
    "training": run_training,
    "cluster": run_cluster,
    "chart": run_chart,
    "monitoring": run_monitoring,
    "node": run_node,
    "kueue": run_kueue,
    "e2e": run_e2e,
    "image": run_image,
}


OPTIONAL = ("node",)
"""Takes rights over the machine that cannot be installed: skipped without them even where all tiers are required."""


def exit_code(outcomes: Sequence[Outcome], *, require_all: bool) -> int:
    """1 if a tier failed, or was skipped although all are required."""
    required = [outcome for outcome in outcomes if require_all and outcome.tier not in OPTIONAL]
    return int(any(o.state == "failed" for o in outcomes) or any(o.state == "skipped" for o in required))


def main() -> int:
    """Run the tiers named on the command line and print one line for each, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiers", nargs="+", choices=TIERS)
    parser.add_argument("--require-all", action="store_true", help="a tier that cannot run is a failure")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    lines: list[str] = []
    for tier in arguments.tiers:
        print(f"\n=== {tier} ===", flush=True)
        start = time.monotonic()
        outcome = TIERS[tier]()
        outcomes.append(outcome)
        lines.append(f"  {tier:<10} {outcome.state:<8} {time.monotonic() - start:5.0f}s  {outcome.detail}")
    code = exit_code(outcomes, require_all=arguments.require_all)
    print("\n=== tiers ===", *lines, sep="\n")
    if code and not any(outcome.state == "failed" for outcome in outcomes):
        print("  A tier was skipped, and all are required.")
    print(sum((outcome.totals for outcome in outcomes), Totals()))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
