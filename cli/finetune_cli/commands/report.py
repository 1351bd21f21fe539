"""`finetune report`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from finetune_cli.commands.options import NameArgument, WorkspaceOption
from finetune_cli.output import write_json
from finetune_cli.refusal import refuse
from finetune_cli.workspace import find_workspace


class ReportFormat(StrEnum):
    """Which of the report's files."""

    md = "md"
    json = "json"
    html = "html"


def report(
    name: NameArgument = None,
    workspace: WorkspaceOption = None,
    format_: Annotated[
        ReportFormat, typer.Option("--format", help="md and json are printed; of html, the path.")
    ] = ReportFormat.md,
    journal: Annotated[
        bool,
        typer.Option("--journal", help="The story of the run's lineage: what each variant changed, and its effect."),
    ] = False,
) -> None:
    """The evaluation report of a run, or the journal of its lineage, in Markdown: finetune report --journal > j.md."""
    if journal:
        _print_journal(find_workspace(name, workspace), format_)
        return
    path = find_workspace(name, workspace) / "reports" / f"report.{format_.value}"
    if not path.exists():
        refuse([f"no report yet: {path} does not exist. finetune status tells where the run is."])
    if format_ is ReportFormat.html:
        print(path)
    elif format_ is ReportFormat.json:
        write_json(json.loads(path.read_text(encoding="utf-8")))
    else:
        sys.stdout.write(path.read_text(encoding="utf-8"))


def _print_journal(folder: Path, format_: ReportFormat) -> None:
    if format_ is not ReportFormat.md:
        refuse([f"--journal is Markdown: leave out --format {format_.value}"])
    from finetune_cli.journal import compare_variants, write_journal
    from finetune_cli.lineage import read_lineage

    iterations = read_lineage(folder)
    sys.stdout.write(write_journal(iterations, compare_variants(iterations)))
