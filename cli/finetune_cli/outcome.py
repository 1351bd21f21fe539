"""How a run ends on the screen: the report's table and verdict, or what went wrong and the next command."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from finetune_api.exit_codes import CliExitCode
from finetune_api.job import FineTuneJob
from finetune_api.registries import TASKS
from finetune_api.registry_rows import LANGUAGE_MODEL
from finetune_api.stages import model_stages
from finetune_api.status import FineTuneJobStatus
from finetune_cli.score_table import score_table
from finetune_cli.segments import segments_view
from finetune_cli.stopped import print_stopped, stopped_lines
from finetune_cli.translating import choose_direction
from finetune_cli.workspace import find_run, name_of_run


def print_outcome(job: dict[str, Any], workspace: Path, folder: Path, manifest: Path, code: CliExitCode) -> None:
    """Print what the reader needs next; `folder` has the job's own files."""
    console = Console()
    ended = FineTuneJob.from_json_object(job)
    status = ended.status or FineTuneJobStatus()
    if code is CliExitCode.INTERRUPTED:
        print_stopped(console, stopped_lines(ended, folder))
        return
    if status.evaluation is not None:
        console.print()
        if (segments := segments_view(status.evaluation, workspace)) is not None:
            console.print(segments)
            console.print()
        console.print(score_table(status.evaluation))
        console.print(Text(status.evaluation.verdict, style="bold"))
        console.print(f"Report: {folder / 'reports' / 'report.html'}", soft_wrap=True)
    if code is CliExitCode.FAILED:
        _print_failure(console, status, folder, manifest)
    elif code is CliExitCode.SUCCEEDED and status.evaluation is None:
        console.print(f"Succeeded. Results: {folder}", soft_wrap=True)
    if code is CliExitCode.SUCCEEDED and (model := _trained_model(status)) is not None:
        adapt = ended.spec.adapt
        _print_model(console, workspace / model, TASKS[adapt.task.type].model_class if adapt else LANGUAGE_MODEL)
        if choose_direction(ended.spec) is not None:
            console.print(Text(f"  {_command(folder)} < text", style="dim"), soft_wrap=True)


def _trained_model(status: FineTuneJobStatus) -> str | None:
    """Path of the last model within the workspace."""
    models = [stage.artifact for stage in status.stages if stage.name in model_stages() and stage.artifact]
    return models[-1] if models else None


def _print_model(console: Console, folder: Path, model_class: str) -> None:
    console.print(f"Model: {folder} (a Hugging Face folder)", soft_wrap=True)
    for line in (
        f"from transformers import {model_class}, AutoTokenizer",
        f"model = {model_class}.from_pretrained({str(folder)!r})",
        f"tokenizer = AutoTokenizer.from_pretrained({str(folder)!r})",
    ):
        console.print(Text(f"  {line}", style="dim"), soft_wrap=True)


def _command(folder: Path) -> str:
    """The command that translates with the run in `folder`."""
    name = name_of_run(folder)
    if name is not None and find_run(name) == folder.resolve():
        return f"finetune translate {name}"
    return f"finetune translate --workspace {shlex.quote(str(folder))}"


def _print_failure(console: Console, status: FineTuneJobStatus, folder: Path, manifest: Path) -> None:
    failed = next((stage for stage in status.stages if stage.state == "Failed"), None)
    succeeded = next((c for c in status.conditions if c.type == "Succeeded"), None)
    what = f"{failed.name} failed: {failed.message}" if failed else (succeeded.message if succeeded else "failed")
    console.print(Text(f"✖ {what}", style="red"), soft_wrap=True)
    if succeeded and succeeded.message and succeeded.message not in what:
        console.print(f"  {succeeded.reason}: {succeeded.message}", soft_wrap=True)
    if failed is not None:
        console.print(f"  Logs: finetune logs --workspace {folder} --stage {failed.name}", soft_wrap=True)
    console.print(
        f"  When it is mended: finetune run {shlex.quote(str(manifest))}   (finished stages are not run again)",
        soft_wrap=True,
    )
