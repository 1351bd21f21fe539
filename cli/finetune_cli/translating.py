"""What a run can translate with, and the process of the trainer that does it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.stages import model_stages
from finetune_cli.refusal import refuse
from finetune_cli.trainer import refuse_without_trainer
from finetune_cli.workspace import JOB_FILE, root_of

LINES = 32
"""Decoded together, where nobody waits for each."""
_MAX_NEW_TOKENS = 128
_PROGRAM = "finetune_trainer.interactive.translate"


@dataclass(frozen=True, slots=True)
class Translation:
    """How a run translates."""

    model: Path
    data: Path
    """What prepare made."""
    direction: str
    shots: int
    max_new_tokens: int


def choose_translation(
    job: FineTuneJob, folder: Path, direction: str | None, shots: int | None, max_new_tokens: int | None
) -> Translation:
    """The newest model of a run, and what was asked for, the rest filled in by its manifest. Refuses in words."""
    known = list(dict.fromkeys(_directions(job.spec)))
    if not known:
        refuse([f"{job.metadata.name} is no translation: neither adapt, evaluate nor pretrain names a direction"])
    chosen = direction or known[0]
    if chosen not in known:
        refuse([f"--direction {chosen}: {job.metadata.name} was made for {' and '.join(known)}"])
    artifacts = {stage.name: stage.artifact for stage in (job.status.stages if job.status else ()) if stage.artifact}
    models = [artifacts[stage] for stage in model_stages() if stage in artifacts]
    if not models or "prepare" not in artifacts:
        refuse(
            [
                f"{job.metadata.name} has no model yet: no training stage of it has ended well",
                "finetune status tells where it is, finetune run goes on with it",
            ]
        )
    root = root_of(folder)
    if not (root / models[-1] / "config.json").is_file():
        refuse([f"the model is gone: {root / models[-1]} has no config.json. finetune run makes it again"])
    return Translation(
        root / models[-1],
        root / artifacts["prepare"],
        chosen,
        _shots(job.spec, chosen) if shots is None else shots,
        max_new_tokens or _longest(job.spec, chosen),
    )


def choose_direction(spec: FineTuneJobSpec) -> str | None:
    """The direction that a run translates in unless told otherwise; None if it is no translation."""
    return next(_directions(spec), None)


def _directions(spec: FineTuneJobSpec) -> Iterator[str]:
    """Those that the model was trained or tested on, the adapted one first."""
    if spec.adapt is not None and spec.adapt.task.direction:
        yield spec.adapt.task.direction
    for task in spec.evaluate.tasks if spec.evaluate else ():
        if task.direction:
            yield task.direction
    for objective in spec.pretrain.objectives if spec.pretrain else ():
        yield from objective.directions or ()


def _shots(spec: FineTuneJobSpec, direction: str) -> int:
    """The most that the model was trained on or, if it was not adapted, tested with."""
    if spec.adapt is not None and spec.adapt.task.direction == direction:
        return max(spec.adapt.prompts.shots)
    tasks = spec.evaluate.tasks if spec.evaluate else []
    return max((max(task.shots) for task in tasks if task.direction == direction), default=0)


def _longest(spec: FineTuneJobSpec, direction: str) -> int:
    tasks = spec.evaluate.tasks if spec.evaluate else []
    return max((task.max_new_tokens for task in tasks if task.direction == direction), default=_MAX_NEW_TOKENS)


def run_translation(choice: Translation, folder: Path, batch_size: int | None) -> int:
    """Let the trainer translate this process' standard input; returns its exit code."""
    refuse_without_trainer("translate")
    command = [sys.executable, "-m", _PROGRAM, "--job", str(folder / JOB_FILE)]
    command += ["--model", str(choice.model), "--data", str(choice.data), "--direction", choice.direction]
    command += ["--shots", str(choice.shots), "--max-new-tokens", str(choice.max_new_tokens)]
    command += ["--batch-size", str(batch_size or (1 if sys.stdin.isatty() else LINES))]
    return subprocess.run(command, check=False).returncode
