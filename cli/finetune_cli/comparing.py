"""Which runs are compared, and the process of the trainer that does it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_api.comparison import Comparison
from finetune_cli.refusal import refuse
from finetune_cli.trainer import refuse_without_trainer
from finetune_cli.workspace import RUNS, find_run, folder_of_run, name_of_run, root_of

REPORT = Path("reports") / "report.json"
_PROGRAM = "finetune_trainer.interactive.compare"


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A run that can be compared."""

    name: str
    """What the tables call it."""
    folder: Path


def choose_runs(asked: Sequence[str], workspace: Path | None) -> list[ReportedRun]:
    """The runs that are meant, in order; those of one name are called what they were asked for as.

    Refuses in words, with all problems at once.
    """
    found = {text: _folder(text, workspace) for text in asked}
    problems = [_unknown(text, workspace) for text, folder in found.items() if folder is None]
    folders = {text: folder for text, folder in found.items() if folder is not None}
    problems += [
        f"{text} has no report: {folder / REPORT} does not exist. finetune status tells where the run is"
        for text, folder in folders.items()
        if not (folder / REPORT).is_file()
    ]
    if len(asked) < 2:
        problems.append("one run alone: name the others after it, as in finetune compare base rank-8")
    problems += _repeated(asked, found)
    if problems:
        refuse(problems)
    names = {text: name_of_run(folder) or text for text, folder in folders.items()}
    called = list(names.values())
    return [
        ReportedRun(names[text] if called.count(names[text]) == 1 else text, folder) for text, folder in folders.items()
    ]


def _folder(text: str, workspace: Path | None) -> Path | None:
    """Of a run by name, else by path."""
    named = find_run(text) if workspace is None else folder_of_run(workspace.resolve(), text)
    if named is not None:
        return named
    path = Path(text).resolve()
    return path if name_of_run(path) is not None else None


def _unknown(text: str, workspace: Path | None) -> str:
    place = f"under {RUNS.resolve()}" if workspace is None else f"in {workspace.resolve()}"
    return f"{text} is neither the name of a run {place} nor the folder of one"


def _repeated(asked: Sequence[str], found: dict[str, Path | None]) -> list[str]:
    problems = []
    seen: dict[Path, str] = {}
    for text in asked:
        folder = found[text]
        if folder is None:
            continue
        if folder in seen:
            problems.append(f"{text} is the same run as {seen[folder]}: name each run once")
        else:
            seen[folder] = text
    return list(dict.fromkeys(problems))


def run_comparison(runs: Sequence[ReportedRun]) -> Comparison:
    """Let the trainer compare; leaves with its exit code where it cannot."""
    refuse_without_trainer("compare")
    command = [sys.executable, "-m", _PROGRAM]
    for run in runs:
        command += ["--run", run.name, str(run.folder / REPORT), str(root_of(run.folder))]
    # Sums of a few thousand numbers: threads would only wait for each other.
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | os.environ
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        raise SystemExit(result.returncode)
    return Comparison.model_validate_json(result.stdout)
