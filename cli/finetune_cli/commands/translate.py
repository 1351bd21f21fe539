"""`finetune translate`."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune_cli.commands.options import NameArgument, WorkspaceOption


def translate(
    name: NameArgument = None,
    workspace: WorkspaceOption = None,
    direction: Annotated[str | None, typer.Option(help="Such as en-es; default: what the run was adapted to.")] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            min=0, max=5, help="Best fuzzy matches in a prompt; default: the most that the run knows from its training."
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, max=8192, help="Longest translation; default: that of the run's evaluation.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=256, help="Lines decoded together; default: 32, on a terminal 1.")
    ] = None,
) -> None:
    """Translate standard input, line by line, with the model of a run: finetune translate demo < text.

    Prompts are those of the run's evaluation; fuzzy matches come from its training pairs. Text is UTF-8.

    Exit code 0 when all is translated, 2 if there is nothing to translate with, or at a line that is not UTF-8.
    """
    from finetune_cli.translating import choose_translation, run_translation
    from finetune_cli.workspace import find_workspace, read_job

    folder = find_workspace(name, workspace)
    choice = choose_translation(read_job(folder), folder, direction, shots, max_new_tokens)
    raise typer.Exit(run_translation(choice, folder, batch_size))
