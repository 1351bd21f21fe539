"""`finetune compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune_cli.commands.options import Output, OutputOption


def compare(
    runs: Annotated[list[str], typer.Argument(help="Two runs or more: names, or folders. The first is the measure.")],
    workspace: Annotated[
        Path | None, typer.Option(help="Folder that holds all of them; default: they are looked for under runs/.")
    ] = None,
    output: OutputOption = Output.text,
) -> None:
    """Runs beside each other: scores, differences to the first with interval and p, cost, and the Pareto front.

    Differences are paired over the segments, and only told where both runs answered the same ones.

    Exit code 0, or 2 if a run is not there or has no report.
    """
    from finetune_cli.comparing import choose_runs, run_comparison
    from finetune_cli.comparison_view import print_comparison
    from finetune_cli.output import write_json

    comparison = run_comparison(choose_runs(runs, workspace))
    if output is Output.json:
        write_json(comparison.to_json_object())
    else:
        print_comparison(comparison)
