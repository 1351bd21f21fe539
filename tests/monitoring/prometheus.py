"""A real Prometheus on loopback, with the rules that we ship."""

from __future__ import annotations

import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster import build_tools
from cluster.control_plane import free_ports, wait_for
from cluster.processes import beside
from finetune_api.objects import Object

SCRAPE_SECONDS = 1
STEP_SECONDS = 2


@dataclass(frozen=True)
class Series:
    """One series of an answer: labels, and finite values by Unix time."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass
class Prometheus:
    """One server in one folder.

    Args:
        folder: for its data, configuration and log.
        rules: files of rules.
        scrapes: entries of `scrape_configs`.
    """

    folder: Path
    rules: Sequence[Path]
    scrapes: Sequence[Object]
    port: int = 0
    began: float = field(default_factory=time.time)

    def targets(self, job: str, address: str, own: dict[str, str]) -> None:
        """Scrape this address, with these labels, from now on."""
        path = self.folder / f"{job}.targets.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps([{"targets": [address], "labels": own}]))
        temporary.rename(path)

    def write_config(self) -> Path:
        """Its configuration."""
        config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
            "rule_files": [str(path) for path in self.rules],
            "scrape_configs": list(self.scrapes),
        }
        path = self.folder / "prometheus.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of its API; fails if it refuses."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def over_time(self, query: str) -> list[Series]:
        """The answer over the server's whole life, without what is not a number."""
        found = self.ask(
            "query_range", query=query, start=str(self.began), end=str(time.time()), step=f"{STEP_SECONDS}s"
        )
        series = [
            Series(
                one["metric"],
                tuple((float(t), float(v)) for t, v in one["values"] if math.isfinite(float(v))),
            )
            for one in found["result"]
        ]
        return [one for one in series if one.points]

    def exemplars(self, query: str) -> list[dict[str, str]]:
        """Labels of the exemplars of all series that a query reads."""
        found = self.ask("query_exemplars", query=query, start=str(self.began), end=str(time.time()))
        return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]

    def firing(self) -> set[str]:
        """Names of the alerts that fire now or fired."""
        return {one.labels["alertname"] for one in self.over_time('ALERTS{alertstate="firing"}')}


def from_file(job: str) -> Object:
    """A job whose targets `Prometheus.targets` tells; labels of ours win, as the chart's monitors ask for."""
    files = {"files": [f"{job}.targets.json"], "refresh_interval": "1s"}
    return {"job_name": job, "honor_labels": True, "file_sd_configs": [files]}


def from_url(job: str, url: str) -> Object:
    """A job whose targets a server tells."""
    return {"job_name": job, "http_sd_configs": [{"url": url, "refresh_interval": "1s"}]}


@contextmanager
def running(prometheus: Prometheus) -> Iterator[Prometheus]:
    """The server, from start to stop."""
    (prometheus.port,) = free_ports(1)
    config = prometheus.write_config()
    program = build_tools.build(build_tools.MONITORING)["prometheus"]
    flags = [
        f"--config.file={config}",
        f"--storage.tsdb.path={prometheus.folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{prometheus.port}",
        "--log.level=warn",
        "--enable-feature=exemplar-storage",
    ]
    with beside([program, *flags], prometheus.folder / "prometheus.log", prometheus.folder):
        wait_for("Prometheus", lambda: _is_ready(prometheus.port))
        yield prometheus


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
            return True
    except OSError:
        return False
