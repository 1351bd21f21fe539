"""The program of a neural metric, in an environment of its own: started, watched, and held to its word.

It is called with `--metric NAME --checkpoint PATH` and reads one JSON object a line until its input ends: `{"source":
..., "output": ..., "reference": ...}`. It writes a line about itself, `{"metric": ..., "model": ..., "version": ...,
"low": ..., "high": ...}`, then `{"score": ...}` for each line that it read, in their order. Exit code 0.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from finetune_trainer.errors import BadConfiguration

_POLL_SECONDS = 0.1
_LONGEST_LINE = 4096
"""Bytes of output for each line of input, on average: who writes more does not keep to the contract."""
_LONGEST_NAME = 100
_OURS = ("PYTHON", "FINETUNE_", "TORCHELASTIC_", "LD_PRELOAD", "MASTER_", "VIRTUAL_ENV")
_OF_RANKS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True, slots=True)
class Program:
    """What scores."""

    command: Sequence[str]
    metric: str
    checkpoint: Path
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class SegmentScores:
    """What it said."""

    model: str
    version: str
    scores: list[float]
    """One a row, in their order."""

    @property
    def signature(self) -> str:
        """`model:wmt22-comet-da|version:unbabel-comet 2.2.7`."""
        return f"model:{self.model}|version:{self.version}"


def score_segments(program: Program, rows: Sequence[Mapping[str, str]], beat: Callable[[], None]) -> SegmentScores:
    """Run the program over `rows` (source, output, reference).

    Args:
        program: the command and what it is told.
        rows: what it is to score.
        beat: called every now and then while it runs; what it raises ends the program.

    Raises:
        BadConfiguration: if it is not there, takes too long, dies, or does not keep to the contract.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
        given.writelines(json.dumps(dict(row)).encode() + b"\n" for row in rows)
        given.seek(0)
        _run(program, len(rows), (given, said, complaints), beat)
        said.seek(0)
        # Not splitlines: a text may hold the line separators of Unicode.
        text = said.read().decode("utf-8", "replace").removesuffix("\n")
        return _parse(program, text.split("\n") if text else [], len(rows))


def _run(program: Program, count: int, files: tuple[IO[bytes], IO[bytes], IO[bytes]], beat: Callable[[], None]) -> None:
    """Until it has ended well; files are its input, output and errors, so that nobody waits for a full pipe."""
    given, said, complaints = files
    command = [*program.command, "--metric", program.metric, "--checkpoint", str(program.checkpoint)]
    try:
        process = subprocess.Popen(
            command, stdin=given, stdout=said, stderr=complaints, env=_environment(), start_new_session=True
        )
    except OSError as error:
        raise _failed(program, f"cannot be started: {error.strerror}") from None
    try:
        ends = time.monotonic() + program.timeout_seconds
        while (code := process.poll()) is None:
            beat()
            if time.monotonic() > ends:
                raise _failed(program, f"has not ended after {program.timeout_seconds:g} s", _last_words(complaints))
            if os.fstat(said.fileno()).st_size > _LONGEST_LINE * (count + 1):
                raise _failed(program, "writes more than a line a segment")
            time.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code != 0:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise _failed(program, how, _last_words(complaints))


def _environment() -> dict[str, str]:
    """Without what is meant for this process and its ranks: the program has libraries of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS) and name not in _OF_RANKS}


def _parse(program: Program, lines: Sequence[str], count: int) -> SegmentScores:
    if not lines:
        raise _failed(program, "wrote nothing")
    about = _json_object(program, lines[0], 1)
    names = [about.get(key) for key in ("metric", "model", "version")]
    if not all(isinstance(name, str) and name.isprintable() and 0 < len(name) <= _LONGEST_NAME for name in names):
        raise _failed(program, f"must name metric, model and version in line 1, and wrote {lines[0][:200]}")
    if about["metric"] != program.metric:
        raise _failed(program, f"computes {about['metric']}, not {program.metric}")
    low, high = (_number(about.get(key, default)) for key, default in (("low", -math.inf), ("high", math.inf)))
    if low is None or high is None or low >= high:
        raise _failed(program, f"must give numbers low < high in line 1, and wrote {lines[0][:200]}")
    if len(lines) - 1 != count:
        raise _failed(program, f"wrote {len(lines) - 1} scores for {count} segments")
    scores = []
    for number, line in enumerate(lines[1:], 2):
        score = _number(_json_object(program, line, number).get("score"))
        if score is None or not math.isfinite(score) or not low <= score <= high:
            raise _failed(program, f"wrote in line {number} no score from {low:g} to {high:g}: {line[:200]}")
        scores.append(score)
    return SegmentScores(about["model"], about["version"], scores)


def _json_object(program: Program, line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _failed(program, f"wrote no JSON object in line {number}: {line[:200]}")
    return value


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _last_words(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def _failed(program: Program, what: str, words: str = "") -> BadConfiguration:
    said = f"; its last words: {words}" if words else ""
    return BadConfiguration(
        "NeuralMetricFailed",
        f"spec.evaluate.neural: {program.metric} has no figure: the program {program.command[0]} {what}{said}",
        "docs/tasks/platform-team.md tells what it must do; leave the metric out to go on without it.",
    )
