"""`finetune run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune_cli.commands.options import Output, OutputOption


def run(
    manifest: Annotated[Path, typer.Argument(help="A FineTuneJob.")],
    workspace: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<name>.")] = None,
    output: OutputOption = Output.text,
    logs: Annotated[bool, typer.Option("--logs", help="Also show what the pods print.")] = False,
) -> None:
    """Run a job on this machine, or go on with it; a finished one is only reported.

    With -o json each change is one JSON line, and the last line is the job with its status.

    Exit code 0 if it succeeded, 1 if it failed, 2 if it was refused, 130 after Ctrl-C with a checkpoint saved.
    """
    import asyncio

    from finetune_cli.ancestry import check_parent, reading
    from finetune_cli.display import choose_display
    from finetune_cli.local_manifest import with_manifest
    from finetune_cli.local_run import run_local
    from finetune_cli.manifest import load_manifest
    from finetune_cli.outcome import print_outcome
    from finetune_cli.output import write_json
    from finetune_cli.trainer import refuse_without_trainer
    from finetune_cli.workspace import folder_of, make_workspace, workspace_of

    loaded = load_manifest(manifest, check_files=True)
    refuse_without_trainer("train")
    place = workspace_of(loaded.job, workspace)
    parents = check_parent(loaded.job, place)
    folder = folder_of(loaded.job, place)
    make_workspace(folder)
    as_json = output is Output.json
    display = choose_display(folder / "logs" if logs else None, as_json=as_json)
    with reading(parents):
        job, code = asyncio.run(run_local(with_manifest(loaded.job, manifest), place, folder, display))
    if as_json:
        write_json(job, indent=None)
    else:
        print_outcome(job, place, folder, manifest, code)
    raise typer.Exit(int(code))
