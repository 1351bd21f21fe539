"""Stands in for the program of a neural metric: it compares lengths, and says so. `--fault` names how it misbehaves."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time

NAME, MODEL, VERSION = "StandIn-length-ratio", "no model: lengths of output and reference", "1"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("metric", "checkpoint", "fault"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args()
    rows = [json.loads(line) for line in sys.stdin]
    assert all(set(row) == {"source", "output", "reference"} for row in rows)
    about = json.dumps({"metric": NAME, "model": MODEL, "version": VERSION, "low": 0, "high": 1})
    scores = [json.dumps({"score": _ratio(len(row["output"]), len(row["reference"]))}) for row in rows]
    _end_early(given.fault)
    wrong = {
        "silent": [],
        "few": [about, *scores[:-1]],
        "many": [about, *scores, scores[0]],
        "nan": [about, scores[0], '{"score": NaN}', *scores[2:]],
        "huge": [about, scores[0], '{"score": 1' + "0" * 400 + "}", *scores[2:]],
        "range": [about, '{"score": 1.5}', *scores[1:]],
        "text": [about, '{"score": "0.5"}', *scores[1:]],
        "no JSON": [about, *scores[:-1], "done"],
        "nameless": [json.dumps({"metric": NAME, "version": VERSION}), *scores],
        "flood": ["x" * 20_000_000],
    }
    sys.stdout.write("".join(f"{line}\n" for line in wrong.get(given.fault, [about, *scores])))
    sys.stdout.flush()
    if given.fault == "flood":
        time.sleep(60)


def _end_early(fault: str) -> None:
    if fault == "sleep":
        time.sleep(60)
    if fault == "die":
        sys.exit("the checkpoint is no checkpoint")
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


def _ratio(first: int, second: int) -> float:
    return min(first, second) / max(first, second, 1)


if __name__ == "__main__":
    main()
