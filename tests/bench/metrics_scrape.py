"""Size and time of a scrape of the operator: `python tests/bench/metrics_scrape.py [--jobs 1000 10000]`.

All jobs have ended, with an evaluation: those have the most series. The time is that of collecting and rendering.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prometheus_client import CollectorRegistry

from finetune_operator.metrics.exposition import expose
from unit.reconcile.lives import evaluation, run_through
from unit.reconcile.world import World, job_object

ACCEPTS = {"text": "text/plain;version=0.0.4", "OpenMetrics": "application/openmetrics-text;version=1.0.0"}


def main() -> int:
    """Print one table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 10_000])
    world = World(job_object())
    run_through(world, "prepare", "pretrain", summary={"tokens": 61_440.0, "loss": 4.1234, "validationLoss": 4.3456})
    run_through(world, "evaluate", evaluation=evaluation("None"))
    print("| jobs | format | series | MB | seconds |\n|---:|---|---:|---:|---:|")
    for count in parser.parse_args().jobs:
        jobs = [json.loads(json.dumps(world.job)) for _ in range(count)]
        for index, job in enumerate(jobs):
            job["metadata"]["name"] = f"job-{index:05d}"
        for name, accept in ACCEPTS.items():
            began = time.perf_counter()
            _, body = expose(CollectorRegistry(), jobs, accept)
            seconds = time.perf_counter() - began
            series = sum(not line.startswith(b"#") for line in body.splitlines())
            print(f"| {count:,} | {name} | {series:,} | {len(body) / 1e6:.1f} | {seconds:.2f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
