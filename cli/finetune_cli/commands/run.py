"""`finetune run`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from finetune_api.job import FineTuneJob
from finetune_cli.commands.options import Output, OutputOption
from finetune_cli.display import Display, JsonLinesDisplay, SilentDisplay, TerminalDisplay
from finetune_cli.local_run import run_local
from finetune_cli.manifest import load_manifest
from finetune_cli.outcome import print_outcome
from finetune_cli.workspace import make_workspace, workspace_of


def run(
    manifest: Annotated[Path, typer.Argument(help="A FineTuneJob.")],
    workspace: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<name>.")] = None,
    output: OutputOption = Output.text,
    logs: Annotated[bool, typer.Option("--logs", help="Also show what the pods print.")] = False,
) -> None:
    """Run a job on this machine, or go on with it; a finished one is only reported.

    Exit code 0 if it succeeded, 1 if it failed, 2 if it was refused, 130 after Ctrl-C with a checkpoint saved.
    """
    loaded = load_manifest(manifest, check_files=True)
    folder = workspace_of(loaded.job, workspace)
    make_workspace(folder)
    console = Console()
    job, code = asyncio.run(run_local(loaded.job, folder, _display(console, folder, output, logs=logs)))
    if output is Output.json:
        sys.stdout.write(json.dumps(job, indent=2, ensure_ascii=False) + "\n")
    else:
        print_outcome(console, FineTuneJob.from_json_object(job), folder, manifest, code)
    raise typer.Exit(int(code))


def _display(console: Console, folder: Path, output: Output, *, logs: bool) -> Display:
    if output is Output.json:
        return SilentDisplay()
    if console.is_terminal:
        return TerminalDisplay(console, folder / "logs" if logs else None)
    return JsonLinesDisplay(folder / "logs" if logs else None)
